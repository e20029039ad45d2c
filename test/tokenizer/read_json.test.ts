/** A tokenizer.json read from its bytes into tables against the same file read in the ordinary way. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { ModelError } from "../../src/base/errors.ts";
import { parseObject } from "../../src/formats/json.ts";
import { MergeList } from "../../src/tokenizer/merger.ts";
import { readTokenizerJson } from "../../src/tokenizer/read_json.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { Vocabulary } from "../../src/tokenizer/vocabulary.ts";
import { CHECKPOINTS, changed, type Json, llamaJson, OWN_URL, readGolden, VECTORS } from "./files.ts";

const encoder = new TextEncoder();
const TEXTS = ["hi  hi é\n日本 <s>", "It's  a <tok> 12,345 ".repeat(4), '"quotes" \\ / \u{1f999}', "h".repeat(99)];

/** What texts give, or the error. */
function outcome(make: () => unknown): unknown {
  try {
    const tokenizer = new Tokenizer(make(), {}, "f");
    const tokens = Array.from({ length: 500 }, (_, id) => tokenizer.token(id));
    return [tokens, ...TEXTS.map((text) => [tokenizer.encode(text), tokenizer.decode(tokenizer.encode(text))])];
  } catch (error) {
    if (error instanceof ModelError) return error.message;
    throw error;
  }
}

const same = (text: string) => {
  const quick = outcome(() => readTokenizerJson(encoder.encode(text), "f"));
  expect(quick).toEqual(outcome(() => parseObject(text, "f")));
  return quick;
};

/** Whether vocabulary and merges became tables. */
function isQuick(text: string): boolean {
  const { vocab, merges } = readTokenizerJson(encoder.encode(text), "f").model as Json;
  expect(vocab instanceof Vocabulary).toBe(merges instanceof MergeList);
  return vocab instanceof Vocabulary;
}

const files = [...VECTORS, ...CHECKPOINTS].filter(({ there }) => there).map(({ name, json }) => [name, json] as const);
test.each([["own", () => JSON.parse(readFileSync(OWN_URL, "utf8"))] as const, ...files])("%s", (_, json) => {
  for (const indent of [0, 1]) {
    const text = JSON.stringify(json(), null, indent);
    expect(isQuick(text)).toBe(true);
    same(text);
  }
});

test.each(readGolden().cases.map(({ name, base, changes }) => [name, base, changes] as const))(
  "%s",
  (_, base, changes) => {
    const { characterLevel } = readGolden();
    const json = base === "byte" ? JSON.parse(readFileSync(OWN_URL, "utf8")) : characterLevel;
    same(JSON.stringify(changed(json, changes)));
  },
);

const BARE = { ...llamaJson(), added_tokens: [], post_processor: null, model: 0 };
const model = (parts: string) => JSON.stringify(BARE).replace('"model":0', `"model":${parts}`);
const VOCAB = '"vocab":{"<s>":1,"h":2,"i":3,"hi":4,"\\"":5,"\\u00e9\\ud83e\\udd99":6,"\\n\\\\":7}';

test.each([
  ["pairs, escapes, white space", `{"type":"BPE", ${VOCAB}, "merges" : [ ["h" , "i"], ["\\u0068","i"]\n] }`, true],
  ["texts", `{"type":"BPE",${VOCAB},"merges":["h i"]}`, true],
  ["no merges", `{"type":"BPE",${VOCAB},"merges":[]}`, true],
  ["ids in any order", `{"type":"BPE","vocab":{"hi":400,"h":9,"<s>":1,"i":0},"merges":["h i"]}`, true],
  ["merges before the vocabulary", `{"type":"BPE","merges":["h i"],${VOCAB}}`, false],
  ["a version", `{"type":"BPE",${VOCAB},"merges":["#version: 0.2","h i"]}`, false],
  ["a token twice", '{"type":"BPE","vocab":{"h":3,"i":2,"h":1,"<s>":0},"merges":[]}', false],
  ["a prefix", `{"type":"BPE","continuing_subword_prefix":"##",${VOCAB},"merges":[]}`, false],
])("%s", (_, parts, quick) => {
  expect(isQuick(model(parts))).toBe(quick);
  expect(same(model(parts))).toBeArray();
});

test.each([
  ["an id twice", '{"type":"BPE","vocab":{"h":1,"i":1},"merges":[]}', 'model.vocab.i: expected an id that no other token has ("h" has it), found 1'],
  ["an id that is none", '{"type":"BPE","vocab":{"h":1.5},"merges":[]}', "model.vocab.h: expected an integer in 0..16777215, found 1.5"],
  ["an id with zeros", '{"type":"BPE","vocab":{"h":01},"merges":[]}', "expected"],
  ["no tokens", '{"type":"BPE","vocab":{},"merges":[]}', "model.vocab: expected at least one token, found an object"],
  ["half a character", '{"type":"BPE","vocab":{"\\ud83e":1},"merges":[]}', 'model.vocab["\\ud83e"]: expected a token that is valid Unicode'],
  ["three parts", `{"type":"BPE",${VOCAB},"merges":["h i i"]}`, 'model.merges[0]: expected a pair of tokens, "a b" or ["a","b"]'],
  ["an empty part", `{"type":"BPE",${VOCAB},"merges":[["h",""]]}`, "model.merges[0]: expected a pair of tokens, each a string that is not empty"],
  ["what is no token", `{"type":"BPE",${VOCAB},"merges":[["h","i"],["i","i"]]}`, 'model.merges[1]: expected tokens of the vocabulary, found "ii", which is none'],
  ["another model behind it", `{"type":"BPE",${VOCAB},"merges":[]},"model":{}`, "expected"],
  ["an unclosed string", `{"type":"BPE",${VOCAB},"merges":["h`, "expected"],
])("refused as ever: %s", (_, parts, message) => {
  expect(same(model(parts))).toStartWith("f: ");
  expect(same(model(parts))).toContain(message);
}); // biome-ignore format: one line each

test("damaged bytes give what they gave", () => {
  const whole = model(`{"type":"BPE", ${VOCAB}, "merges" : [ ["h" , "i"], "h i" ] }`);
  const from = whole.indexOf('{"type"');
  let refused = 0;
  const edits = fc.array(
    fc.tuple(fc.integer({ min: from, max: whole.length - 1 }), fc.constantFrom(...' "\\{}[],:0u\tx')),
    {
      minLength: 1,
      maxLength: 3,
    },
  );
  const property = fc.property(edits, (edits) => {
    const text = [...whole];
    for (const [at, char] of edits) text[at] = char;
    if (typeof same(text.join("")) === "string") refused++;
  });
  fc.assert(property, { numRuns: 3000, seed: 5 });
  expect(refused).toBeGreaterThan(300);
  expect(refused).toBeLessThan(3000);
});

test("bytes that are no UTF-8 are refused", () => {
  const bytes = encoder.encode(model(`{"type":"BPE",${VOCAB},"merges":[]}`));
  for (const at of [10, bytes.indexOf(0x69, bytes.length - 90)]) {
    expect(() => readTokenizerJson(bytes.with(at, 0xe9), "f")).toThrow("f: expected UTF-8 text");
  }
});
