import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { OptionError } from "../../src/base/errors.ts";
import { type ChatOptions, type Message, renderChat } from "../../src/tokenizer/chat.ts";
import { renderNextTurns } from "../../src/tokenizer/next_turns.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { llamaJson } from "./files.ts";

const TOKENIZER = new Tokenizer(llamaJson(), { bos_token: "<s>", eos_token: "</s>" }, "model");

/** Templates of every habit that matters here. */
const TEMPLATES: Record<string, string> = {
  "default system": `{{ bos_token }}{% if messages[0].role != 'system' %}<system>You help.<end>
{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}`,
  "strict order, BOS in every exchange": `{% set ns = namespace(system='') %}{% if messages[0].role == 'system' %}{% set ns.system = messages[0].content + '\\n' %}{% set messages = messages[1:] %}{% endif %}
{%- for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
{%- if m.role == 'user' %}{{ bos_token + '[INST] ' + (ns.system if loop.first else '') + m.content.strip() + ' [/INST]' }}{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}`,
  "a system is needed": `{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}`,
  "reasoning dropped": `{% for m in messages %}<{{ m.role }}>{{ m.content.split('</think>')[-1].lstrip('\\n') if m.role == 'assistant' and not loop.last else m.content }}<end>{% endfor %}{% if add_generation_prompt %}<assistant><think>{% endif %}`,
  "parts only": `{{ bos_token }}{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{{ part.text }}{% endfor %}<end>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}`,
};
const CONCATENATED = ["default system", "strict order, BOS in every exchange", "a system is needed"];

const user = (content: Message["content"] = "Why?"): Message => ({ role: "user", content: content ?? null });
const next = (name: string, messages: readonly Message[], options: ChatOptions & { after?: "answer" | "turns" } = {}) =>
  renderNextTurns(TOKENIZER, messages, { chatTemplate: TEMPLATES[name]!, ...options });

describe("after an answer", () => {
  test.each([
    ["default system", "<end>\n<user>Why?<end>\n<assistant>"],
    ["strict order, BOS in every exchange", " </s><s>[INST] Why? [/INST]"],
    ["a system is needed", "</s>[user]Why?</s>[assistant]"],
    ["reasoning dropped", "<end><user>Why?<end><assistant><think>"],
    ["parts only", "<end><user>Why?<end><assistant>"],
  ])("%s", (name, expected) => {
    const turn = user(name === "parts only" ? [{ type: "text", text: "Why?" }] : "Why?");
    expect(next(name, [turn])).toBe(expected);
  });

  test("what is invented is none of the new turns' words", () => {
    expect(next("default system", [user("InventedAnswer InventedQuestion")])).toBe(
      "<end>\n<user>InventedAnswer InventedQuestion<end>\n<assistant>",
    );
  });

  test("the last message can be continued", () => {
    const turns = [user(), { role: "assistant", content: "Because" }];
    expect(next("default system", turns, { continueFinalMessage: true })).toBe(
      "<end>\n<user>Why?<end>\n<assistant>Because",
    );
  });
});

test("after complete turns", () => {
  expect(next("default system", [user()], { after: "turns" })).toBe("<user>Why?<end>\n<assistant>");
  expect(next("strict order, BOS in every exchange", [user()], { after: "turns" })).toBe("<s>[INST] Why? [/INST]");
  const reply = { role: "assistant", content: "So." };
  const options = { after: "turns", addGenerationPrompt: false } as const;
  expect(next("strict order, BOS in every exchange", [reply], options)).toBe(" So. </s>");
});

describe("results of tools", () => {
  const result = { role: "tool", tool_call_id: "a1b2c3d4e", name: "weather", content: "fair" };
  const end = "<|im_end|>";
  const tokenizer = (chat_template: string) =>
    new Tokenizer(llamaJson(), { eos_token: "</s>", chat_template }, "model");

  test.each([
    [
      "as JSON behind the text",
      "{{ m.content or '' }}{% for c in m.tool_calls %}<call>{{ c.function | tojson }}</call>{% endfor %}",
    ],
    ["instead of text", "{{ m.tool_calls[0].function.name }}({{ m.tool_calls[0].function.arguments | tojson }})"],
    ["arguments as text", "{{ m.content }}{{ '<call>' + m.tool_calls[0].function.arguments + '</call>' }}"],
    ["identifiers behind", "{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}#{{ c.id }}{% endfor %}"],
  ])("%s", (_, call) => {
    const template = `{% for m in messages %}<|{{ m.role }}|>{% if m.tool_calls %}${call}{% else %}{{ m.content }}{% endif %}${end}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`;
    expect(renderNextTurns(tokenizer(template), [result])).toBe(`${end}<|tool|>fair${end}<|assistant|>`);
  });

  test("a template that asks for the call gets one with the result's identifier", () => {
    const template = `{% set ids = namespace(last='') %}{% for m in messages %}{% if m.tool_calls %}{% set ids.last = m.tool_calls[0].id %}{% endif %}
{%- if m.role == 'tool' and m.tool_call_id != ids.last %}{{ raise_exception('an unknown call') }}{% endif %}<{{ m.role }}>{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}</s>{% endfor %}`;
    expect(renderNextTurns(tokenizer(template), [result])).toBe("</s><tool>fair</s>");
  });
});

test("results of tools where the template writes no calls follow a plain answer", () => {
  const template =
    "{% for m in messages %}<{{ m.role }}>{{ m.content.strip() }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
  const options = { chatTemplate: template };
  expect(renderNextTurns(TOKENIZER, [{ role: "tool", content: "fair" }], options)).toBe(
    "</s><tool>fair</s><assistant>",
  );
  // Where it writes them, an answer without one would be another chat.
  const other = `{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}{{ '<call>' if m.tool_calls else '</s>' }}{% endfor %}`;
  const refused = () => renderNextTurns(TOKENIZER, [{ role: "tool", content: "fair" }], { chatTemplate: other });
  expect(refused).toThrow("does not write turns one after the other");
});

describe("errors", () => {
  test("not what an invented message ends in, if the template writes others", () => {
    const template = "{% for m in messages %}<{{ m.role }}>{{ '' + m.content }}{% endfor %}{{ eos_token }}";
    const options = { chatTemplate: template, after: "turns", addGenerationPrompt: false } as const;
    const refused = () => renderNextTurns(TOKENIZER, [user()], options);
    expect(refused).toThrow("start a session with the whole chat");
  });

  test("the template's own, for the new turns", () => {
    const two = () => next("strict order, BOS in every exchange", [user(), user()]);
    expect(two).toThrow(OptionError);
    expect(two).toThrow("roles must alternate");
  });

  test("a template that writes no earlier turns", () => {
    const options = { chatTemplate: "{{ messages[-1].content }}" };
    expect(() => renderNextTurns(TOKENIZER, [user()], options)).toThrow("start a session with the whole chat");
  });

  test("arguments", () => {
    expect(() => renderNextTurns(TOKENIZER, [])).toThrow(OptionError);
    expect(() => next("default system", [user()], { after: "all" as never })).toThrow(
      "after: expected answer or turns, found all",
    );
    expect(() => next("default system", [{ role: 1 } as never])).toThrow("messages[");
  });
});

test("the pieces of a chat are the whole", () => {
  const words = fc.stringMatching(/^[a-z]{1,8}( [a-z]{1,8})?$/);
  const exchange = fc.record({ question: words, answer: words });
  const chat = fc.record({ system: words, exchanges: fc.array(exchange, { minLength: 2, maxLength: 4 }) });
  fc.assert(
    fc.property(fc.constantFrom(...CONCATENATED), chat, (name, { system, exchanges }) => {
      const options = { chatTemplate: TEMPLATES[name]! };
      const messages: Message[] = [{ role: "system", content: system }];
      let pieces = "";
      for (const [i, { question, answer }] of exchanges.entries()) {
        messages.push(user(question));
        pieces += i ? next(name, [user(question)]) : renderChat(TOKENIZER, messages, options);
        expect(pieces).toBe(renderChat(TOKENIZER, messages, options));
        messages.push({ role: "assistant", content: answer });
        // This template has a space before an answer that the model writes itself.
        pieces += name.startsWith("strict") ? ` ${answer}` : answer;
      }
    }),
  );
});
