import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkFormat } from "../../src/grammar/index.ts";
import { callFormat, callFormats } from "../../src/tools/formats.ts";
import { JsonCall } from "../../src/tools/json.ts";
import { ToolReader } from "../../src/tools/reader.ts";
import type { Piece, Tool } from "../../src/tools/tools.ts";

const TOOLS: Tool[] = [
  {
    type: "function",
    function: {
      name: "weather",
      parameters: { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } } },
    },
  },
];

/** What each family's template has that tells it, and answers as the family writes them. */
const FAMILIES: Readonly<Record<string, { template: string; answers: Readonly<Record<string, string>> }>> = {
  hermes: {
    template: "{{ tools }} <tool_call>",
    answers: {
      one: 'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Köln \\"C\\" {", "days": 2}}\n</tool_call>',
      two: '<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>\n<tool_call>\n{"arguments": {"x": [1, {"y": "}"}]}, "name": "b"}\n</tool_call>',
      lines: '<tool_call>{\n  "name" :\n  "a",\n  "id": 7,\n  "arguments":\n  {\n    "k": 1\n  }\n}</tool_call>',
      text: '<tool_call>\n{"name": "a", "arguments": "{\\"k\\": 1}"}\n</tool_call>',
    },
  },
  "qwen-coder": {
    template: "{{ tools }} <tool_call><function=",
    answers: {
      one: "<tool_call>\n<function=weather>\n<parameter=city>\n12\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
      lines:
        "So.<tool_call><function=other><parameter=text>a\nb</parameter><parameter=list>[1, 2]</parameter></function></tool_call>",
    },
  },
  llama3: {
    template: "{{ tools }} <|python_tag|> ipython",
    answers: {
      bare: '{"name": "weather", "parameters": {"city": "Rome"}}',
      tagged:
        '<|python_tag|>{"type": "function", "name": "a", "parameters": {"x": 1}}; {"name": "b", "parameters": {}}',
    },
  },
  mistral: {
    template: "{{ tools }} [TOOL_CALLS]",
    answers: {
      list: '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "a", "arguments": {"l": [[]]}}]',
      named: '[TOOL_CALLS]weather[ARGS]{"city": "Oslo"}[TOOL_CALLS]a[CALL_ID]abcdefghi[ARGS]{"x": {}}',
    },
  },
  gemma4: {
    template: "{{ tools }} <|tool_call>",
    answers: {
      one: 'Yes.<|tool_call>call:weather{city:<|"|>Bad, {Homburg}<|"|>,days:2,deep:{a:[1,<|"|>b<|"|>,true]},w:some words}<tool_call|>',
      none: "<|tool_call>call:a{}<tool_call|><|tool_call>call:b{}<tool_call|>",
    },
  },
  functiongemma: {
    template: "{{ tools }} <start_function_call>",
    answers: { one: "<start_function_call>call:weather{city:<escape>Rome<escape>}<end_function_call>" },
  },
};

/** What the answers say. */
const EXPECTED: Readonly<Record<string, unknown>> = {
  "hermes one": ["Let me see.\n", ["weather", { city: 'Köln "C" {', days: 2 }]],
  "hermes two": ["", ["a", {}], ["b", { x: [1, { y: "}" }] }]],
  "hermes lines": ["", ["a", { k: 1 }]],
  "hermes text": ["", ["a", { k: 1 }]],
  "qwen-coder one": ["", ["weather", { city: "12", days: 3 }]],
  "qwen-coder lines": ["So.", ["other", { text: "a\nb", list: [1, 2] }]],
  "llama3 bare": ["", ["weather", { city: "Rome" }]],
  "llama3 tagged": ["", ["a", { x: 1 }], ["b", {}]],
  "mistral list": ["", ["weather", { city: "Oslo" }], ["a", { l: [[]] }]],
  "mistral named": ["", ["weather", { city: "Oslo" }], ["a", { x: {} }]],
  "gemma4 one": [
    "Yes.",
    ["weather", { city: "Bad, {Homburg}", days: 2, deep: { a: [1, "b", true] }, w: "some words" }],
  ],
  "gemma4 none": ["", ["a", {}], ["b", {}]],
  "functiongemma one": ["", ["weather", { city: "Rome" }]],
};

function read(template: string, pieces: readonly string[]): readonly Piece[] {
  const reader = new ToolReader(callFormat(template, TOOLS)!);
  return [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end()];
}

/** Text and calls of events, each with its arguments as they were written. */
function told(events: readonly Piece[]): [text: string, ...calls: [string, string][]] {
  let text = "";
  const calls: [string, string][] = [];
  for (const event of events) {
    if (event.type === "text") text += event.text;
    if (event.type === "call") {
      expect(event.index).toBe(calls.length);
      expect(event.id).toMatch(/^[a-z0-9]{9}$/);
      calls.push([event.name, ""]);
    }
    if (event.type === "arguments") calls[event.index]![1] += event.text;
  }
  return [text, ...calls];
}

for (const [family, { template, answers }] of Object.entries(FAMILIES)) {
  describe(family, () => {
    test("is told by its template", () => {
      expect(callFormat(template, TOOLS)!.name).toBe(family);
    });
    for (const [name, answer] of Object.entries(answers)) {
      test(`${name}: the calls, however the text is cut`, () => {
        const [text, ...calls] = told(read(template, [answer]));
        expect([text, ...calls.map(([name, json]) => [name, JSON.parse(json)])] as unknown).toEqual(
          EXPECTED[`${family} ${name}`],
        );
        for (let at = 1; at < answer.length; at++)
          expect(told(read(template, [answer.slice(0, at), answer.slice(at)]))).toEqual([text, ...calls]);
        expect(told(read(template, [...answer]))).toEqual([text, ...calls]);
      });
      test(`${name}: cut off anywhere, no text is invented and no call begun twice`, () => {
        const [text, ...calls] = told(read(template, [answer]));
        for (let length = 0; length < answer.length; length++) {
          const [begun, ...some] = told(read(template, [...answer.slice(0, length)]));
          expect(some.length).toBeLessThanOrEqual(calls.length);
          for (const [i, [name, json]] of some.entries()) {
            expect(name).toBe(calls[i]![0]);
            expect(calls[i]![1].startsWith(json)).toBe(true);
          }
          if (some.length === 0) expect(answer.startsWith(begun)).toBe(true);
          else {
            // A call without a name so far is text at the end.
            expect(begun).toStartWith(text);
            expect(answer.slice(0, length)).toEndWith(begun.slice(text.length));
          }
        }
      });
    }
    test("what only looks like a call is text, all of it", () => {
      const { openers } = callFormat(template, TOOLS)!;
      const scraps = [
        ...openers,
        "<",
        "[",
        "{",
        "{}",
        '{"a": 1}',
        '{"name": 3}',
        "call:",
        "call:x",
        " ",
        "ab",
        "\n",
        "]",
      ];
      const property = fc.property(fc.array(fc.constantFrom(...scraps), { maxLength: 8 }), (parts) => {
        const whole = parts.join("");
        const [text, ...calls] = told(read(template, parts));
        if (calls.length === 0) expect(text).toBe(whole);
      });
      fc.assert(property, { numRuns: 300 });
    });
  });
}

test("arguments are given while they are written", () => {
  const reader = new ToolReader(callFormat(FAMILIES.hermes!.template, TOOLS)!);
  const events = reader.push('<tool_call>{"name": "a", "arguments": {"x": "so fa');
  expect(told(events)).toEqual(["", ["a", '{"x": "so fa']]);
});

test("a template without tools, or with tools of an unknown kind, has no format", () => {
  expect(callFormat("{{ messages }} <tool_call>", TOOLS)).toBeUndefined();
  expect(callFormat("{{ tools }}", TOOLS)).toBeUndefined();
});

describe("where a form is enforced", () => {
  const whole = (text: string) => {
    const reader = new ToolReader(
      { ...callFormat(FAMILIES.hermes!.template, TOOLS)!, openers: [] },
      new JsonCall(new Set(["look"])),
    );
    return told([...[...text].flatMap((char) => reader.push(char)), ...reader.end()]);
  };

  test("only a name of a tool and then arguments are a call; of all else no character is lost", () => {
    expect(whole('{"name": "look", "arguments": {"at": "b"}}')).toEqual(["", ["look", '{"at": "b"}']]);
    expect(whole('{ "name" :"look","arguments":"a" }')).toEqual(["", ["look", '"a"']]);
    for (const text of [
      '{"name": "look", "city": "y"}',
      '{"name": "look"}',
      '{"name": "look", "parameters": "q"}',
      '{"id": 1, "name": "look", "arguments": {}}',
      '{"arguments": {}, "name": "look"}',
      '{"name": "watch", "arguments": {}}',
      '{"a": "<tool_call>{}</tool_call>"}',
      '["name"]',
      "7",
    ])
      expect(whole(text)).toEqual([text]);
  });

  test("references of a tool's parameters lead to where these are then", () => {
    const node = {
      type: "object",
      properties: { next: { $ref: "#" }, enum: { $ref: "#/$defs/x" } },
      $defs: { x: { enum: [{ $ref: "#" }] } },
    };
    const [format] = callFormats([{ type: "function", function: { name: "look", parameters: node } }]);
    const { schema } = format as { schema: { properties: { arguments: unknown } } };
    expect(schema.properties.arguments).toEqual({
      ...node,
      properties: { next: { $ref: "#/properties/arguments" }, enum: { $ref: "#/properties/arguments/$defs/x" } },
    });
    checkFormat(format!);
  });
});
