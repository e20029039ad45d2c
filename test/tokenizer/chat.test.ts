import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError, OptionError } from "../../src/base/errors.ts";
import { encodeChat, type Message, renderChat } from "../../src/tokenizer/chat.ts";
import { strftime } from "../../src/tokenizer/strftime.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { ROOT } from "../setup.ts";
import { CHATS } from "../wild/chats.ts";
import { CHATML, LLAMA2, LLAMA3, TEMPLATES } from "./chat_templates.ts";
import { llamaJson } from "./files.ts";

const with_ = (chat_template: unknown, options = {}) =>
  new Tokenizer(llamaJson(), { bos_token: "<s>", eos_token: "</s>", chat_template }, "model", options);

/** What transformers made of them: `bun test/wild/templates.ts --write`. */
const GOLDEN: { text?: string; error?: string }[] = JSON.parse(
  readFileSync(join(ROOT, "test/golden/fixtures/chats.json"), "utf8"),
);

const SYSTEM: Message = { role: "system", content: "Be brief." };
const USER: Message = { role: "user", content: "Hi " };
const REPLY: Message = { role: "assistant", content: "Hello" };
const NOW = new Date(2024, 6, 4, 9, 5);

describe("templates", () => {
  test("ChatML", () => {
    expect(renderChat(with_(CHATML), [SYSTEM, USER])).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\n",
    );
    expect(renderChat(with_(CHATML), [USER, REPLY], { addGenerationPrompt: false })).toBe(
      "<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
    );
  });

  test("Llama 2, with BOS exactly once", () => {
    const tokenizer = with_(LLAMA2);
    const text = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s><s>[INST] Hi [/INST]";
    expect(renderChat(tokenizer, [SYSTEM, USER, REPLY, USER])).toBe(text);
    const ids = encodeChat(tokenizer, [USER]);
    expect(ids.filter((id) => id === tokenizer.bosTokenId)).toEqual([1]);
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe("<s> [INST] Hi [/INST]");
  });

  test("Llama 3, with a date, a variable and tools", () => {
    const head = "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: ";
    const rest =
      "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n";
    const tokenizer = with_(LLAMA3);
    expect(renderChat(tokenizer, [SYSTEM, USER], { now: NOW })).toBe(`${head}04 Jul 2024\n\nBe brief.${rest}`);
    expect(renderChat(tokenizer, [USER], { templateVariables: { date_string: "today" } })).toBe(
      `${head}today\n\n${rest}`,
    );
    const tools = [{ name: "f", n: [1] }];
    const shown = '{\n    "name": "f",\n    "n": [\n        1\n    ]\n}\n\n';
    expect(renderChat(tokenizer, [USER], { now: NOW, tools })).toBe(`${head}04 Jul 2024\n\n${shown}${rest}`);
  });

  test("which one: the file's over the configuration's, the named ones by use", () => {
    const list = [
      { name: "default", template: "plain" },
      { name: "tool_use", template: "tools" },
    ];
    expect(renderChat(with_(list), [USER])).toBe("plain");
    expect(renderChat(with_(list), [USER], { tools: [{}] })).toBe("tools");
    expect(renderChat(with_(list, { chatTemplate: "file" }), [USER])).toBe("file");
    expect(with_(list).chatTemplate).toBe("plain");
    expect(with_("x", { chatTemplate: "file" }).chatTemplate).toBe("file");
    expect(with_(undefined).chatTemplate).toBeUndefined();
  });
});

test("every chat renders as transformers renders it, or is refused as there", () => {
  const work = Object.keys(TEMPLATES).flatMap((template) => CHATS.map((chat) => ({ template, chat })));
  expect(work.length).toBe(GOLDEN.length);
  const different = work.flatMap(({ template, chat }, i) => {
    const { text, error } = GOLDEN[i]!;
    let found: string | undefined;
    try {
      found = renderChat(with_(TEMPLATES[template]), chat.messages, chat.options);
    } catch (refused) {
      if (error !== undefined) return [];
      found = String(refused);
    }
    return found === text ? [] : [{ template, chat: chat.name, expected: text ?? error, found }];
  });
  expect(different).toEqual([]);
});

test("line ends of every kind are \\n in the text", () => {
  const lines = ["{% for m in messages %}", "<{{ m.role }}>", "{{ m.content }}{{ '", "' }}", "{% endfor %}", ""];
  const [expected, ...others] = ["\n", "\r\n", "\r"].map((end) => renderChat(with_(lines.join(end)), [USER]));
  expect(expected).toBe("<user>\nHi \n\n");
  expect(others).toEqual([expected!, expected!]);
});

describe("options", () => {
  const list = [
    { name: "a", template: "A{{ bos_token }}" },
    { name: "b", template: "B{{ enable_thinking }}" },
  ];

  test("a template by its name, or another one", () => {
    const tokenizer = with_(list);
    expect(renderChat(tokenizer, [USER], { chatTemplate: "a" })).toBe("A<s>");
    expect(renderChat(tokenizer, [USER], { chatTemplate: "{{ messages | length }}" })).toBe("1");
    expect(() => renderChat(tokenizer, [USER])).toThrow(
      "model has no default chat template: pass one of a, b as chatTemplate",
    );
    expect(renderChat(with_(undefined), [USER], { chatTemplate: "x" })).toBe("x");
  });

  test("variables come before special tokens, and cannot be those that the chat fills", () => {
    const options = { chatTemplate: "a", templateVariables: { bos_token: "<bos>" } };
    expect(renderChat(with_(list), [USER], options)).toBe("A<bos>");
    expect(renderChat(with_(list), [USER], { chatTemplate: "b", templateVariables: { enable_thinking: false } })).toBe(
      "BFalse",
    );
    const taken = { chatTemplate: "a", templateVariables: { tools: [] } };
    expect(() => renderChat(with_(list), [USER], taken)).toThrow("found tools");
  });

  test.each([
    [{ tools: ["f"] }, "tools[0]: expected an object, found f"],
    [{ tools: [{}, null] }, "tools[1]: expected an object, found null"],
    [{ tools: {} }, "tools: expected an array of objects, found {}"],
    [{ documents: [[]] }, "documents[0]: expected an object, found []"],
    [{ continueFinalMessage: true, addGenerationPrompt: true }, "expected no addGenerationPrompt with it"],
    [{ continueFinalMessage: "nothing" }, 'the last message has no "nothing"'],
    [{ continueFinalMessage: "role" }, "the chat template does not write the last message as it is"],
  ])("%j: %s", (options, message) => {
    const call = () => renderChat(with_("{{ messages[0].role[:2] }}"), [USER], options as never);
    expect(call).toThrow(OptionError);
    expect(call).toThrow(message);
  });

  test("what is no data is a word", () => {
    const image = { type: "image", image: new Uint8Array(4), made: new Date(), by: () => 1, at: new Map([["x", 1]]) };
    expect(renderChat(with_("{{ messages[0].content }}"), [{ role: "user", content: [image] }])).toBe(
      "[{'type': 'image', 'image': '<Uint8Array>', 'made': '<Date>', 'by': '<Function>', 'at': {'x': 1}}]",
    );
    const round: Record<string, unknown> = { role: "user" };
    round.self = round;
    expect(() => renderChat(with_("x"), [round as unknown as Message])).toThrow(OptionError);
  });
});

describe("errors", () => {
  const fails = (template: unknown, messages: unknown = [USER]) => {
    try {
      renderChat(with_(template), messages as Message[]);
    } catch (error) {
      expect((error as Error).message).not.toContain("\n");
      return error as Error;
    }
    throw new Error("nothing was thrown");
  };

  test("no template", () => {
    const error = fails(undefined);
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toBe("model has no chat template: pass one as chatTemplate, or a prompt");
  });

  test("the template refuses", () => {
    const error = fails(LLAMA2, [USER, USER]);
    expect(error).toBeInstanceOf(OptionError);
    expect(error.message).toStartWith("model: chat template: Conversation roles must alternate");
  });

  test.each([
    "{% for x in %}",
    "{{ 'abc",
    "{% if true %}",
    "{{ messages.x.y() }}",
    "{{ range(10 ** 9) }}",
    "{% for i in range(999999999) %}{% endfor %}",
    "{{ 1 | nothing }}",
  ])("the template is wrong: %s", (template) => {
    const error = fails(template);
    expect(error).toBeInstanceOf(ModelError);
    expect(error.message).toStartWith("model: chat template: ");
  });

  test.each([[null], [[null]], [[{}]], [[]], [["hi"]], [[{ role: "user", content: 3 }]], [[{ role: 3, content: "" }]]])(
    "messages %j",
    (messages) => {
      expect(fails(CHATML, messages)).toBeInstanceOf(OptionError);
    },
  );

  test("cut templates fail in one line and never hang", () => {
    for (const template of [CHATML, LLAMA2, LLAMA3]) {
      for (let end = 0; end < template.length; end += 3) {
        try {
          renderChat(with_(template.slice(0, end)), [SYSTEM, USER, REPLY]);
        } catch (error) {
          expect([ModelError, OptionError] as unknown[]).toContain((error as Error).constructor);
          expect((error as Error).message).not.toContain("\n");
        }
      }
    }
  });
});

test("strftime speaks English everywhere", () => {
  expect(strftime(NOW, "%A %a %d %B %b %Y %y %m %H:%M:%S %I%p 100%% %Q")).toBe(
    "Thursday Thu 04 July Jul 2024 24 07 09:05:00 09AM 100% %Q",
  );
  expect(strftime(NOW, "%-d %e %_d %05d %j %U %W %V %G %u %w %D %F %T %R %c|%^a|%f|%z%Z|%k %l %-I %C%h")).toBe(
    "4  4  4 %05d 186 26 27 27 2024 4 4 07/04/24 2024-07-04 09:05:00 09:05 Thu Jul  4 09:05:00 2024|THU|000000|| 9  9 9 20Jul",
  );
});
