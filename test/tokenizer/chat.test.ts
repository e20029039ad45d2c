import { describe, expect, test } from "bun:test";
import { ModelError, OptionError } from "../../src/errors.ts";
import { encodeChat, type Message, renderChat } from "../../src/tokenizer/chat.ts";
import { strftime } from "../../src/tokenizer/strftime.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { llamaJson } from "./files.ts";

const with_ = (chat_template: unknown, options = {}) =>
  new Tokenizer(llamaJson(), { bos_token: "<s>", eos_token: "</s>", chat_template }, "model", options);

const CHATML = `{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
`;
const LLAMA2 = `{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if loop.index0 == 0 and system_message != false %}
        {%- set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {%- else %}
        {%- set content = message['content'] %}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + content.strip() + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}`;
const LLAMA3 = `{{- bos_token }}
{%- if not date_string is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% endif %}
{%- if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}{% set messages = messages[1:] %}{% else %}{% set system = "" %}{% endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
{%- for t in tools %}{{ t | tojson(indent=4) }}{{ "\\n\\n" }}{% endfor %}
{%- endif %}
{{- system }}{{ "<|eot_id|>" }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}`;

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
    expect(error.message).toBe("model has no chat template: pass a prompt");
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
});
