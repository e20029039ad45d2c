/** Masks against every token read byte by byte, over vocabularies whose tokens cross all borders. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  compileGrammar,
  type Grammar,
  type GrammarState,
  type ResponseFormat,
  TokenTrie,
} from "../../src/grammar/index.ts";
import { randomNumbers } from "./tiny.ts";

/** Tokens by id: none for the first two; all single bytes; then these. */
function vocabulary(texts: readonly Uint8Array[]): { trie: TokenTrie; bytes: Uint8Array[] } {
  const single = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  const bytes = [new Uint8Array(0), new Uint8Array(0), ...single, ...texts];
  const offsets = new Uint32Array(bytes.length + 1);
  for (const [i, token] of bytes.entries()) offsets[i + 1] = offsets[i]! + token.length;
  const all = new Uint8Array(offsets.at(-1)!);
  for (const [i, token] of bytes.entries()) all.set(token, offsets[i]);
  return { trie: new TokenTrie({ count: bytes.length, bytes: all, offsets }), bytes };
}

const STOP = 1;
const utf8 = (text: string) => new TextEncoder().encode(text);
const PIECES = [
  '{"',
  '":',
  '": "',
  '","',
  '"}',
  "}}",
  "],[",
  "true",
  "ab",
  " a",
  "abc",
  "é",
  "日本",
  "😀",
  "12",
  ".5",
  "\n  ",
  "\\n",
  "aaaaaaaa",
  "b".repeat(11),
  // As many characters as bytes, and more than any other has of either.
  "a".repeat(24),
  "日本日本日本",
  // Long ones, which have masks of their own.
  `${"ab".repeat(9)}","`,
  `"${" a".repeat(12)}`,
  `é${"\\n".repeat(10)}`,
];
/** Texts, pieces of characters, and both together. */
const token = fc.oneof(
  fc.constantFrom(...PIECES).map(utf8),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 6 }).map(utf8),
  fc.uint8Array({ minLength: 1, maxLength: 4 }),
  fc.tuple(fc.constantFrom(...PIECES), fc.constantFrom("é", "日", "😀"), fc.nat(3)).map(([text, character, cut]) => {
    const bytes = utf8(text + character);
    return bytes.slice(cut === 3 ? 1 : 0, bytes.length - (cut % 3));
  }),
);
const DEFINITIONS: readonly ResponseFormat[] = [
  { type: "json_object" },
  { type: "json_schema", schema: { type: "array", items: { type: "string", maxLength: 9 }, maxItems: 3 } },
  { type: "json_schema", schema: { type: "string", minLength: 3, maxLength: 40 } },
  {
    type: "json_schema",
    schema: {
      type: "object",
      properties: { ab: { type: "number", minimum: -2.5, maximum: 12 }, é: { enum: ["abc", "日本", null] } },
      additionalProperties: { type: "boolean" },
    },
  },
  {
    type: "json_schema",
    schema: { type: "object", properties: { a: { $ref: "#" }, ab: { type: "string", format: "date" } } },
  },
  { type: "regex", pattern: "(?:ab|a?é){2,4}[^\\n]{0,5}\\p{Lu}?" },
  { type: "grammar", grammar: 'root ::= "(" root ")" root | [a-c日]{0,3}' },
];

/** The tokens that may follow, each read alone. */
function slow(grammar: Grammar, state: GrammarState, tokens: number): number[] {
  return Array.from({ length: tokens }, (_, id) => id).filter((id) => grammar.advance(state, id) !== undefined);
}

function idsOf(mask: Uint32Array): number[] {
  return Array.from({ length: 32 * mask.length }, (_, id) => id).filter((id) => (mask[id >> 5]! >>> (id & 31)) & 1);
}

describe.each(DEFINITIONS)("%j", (definition) => {
  test("a mask has the tokens that lead somewhere, and stop tokens exactly where the text may end", () => {
    fc.assert(
      fc.property(fc.array(token, { maxLength: 40 }), fc.nat(), (texts, seed) => {
        const { trie, bytes } = vocabulary(texts);
        const grammar = compileGrammar(definition, { trie, stopTokens: [STOP] });
        const random = randomNumbers(seed);
        let state = grammar.start();
        for (let i = 0; i < 25; i++) {
          const ids = idsOf(grammar.mask(state));
          expect(ids).toEqual(slow(grammar, state, bytes.length));
          expect(ids.includes(STOP)).toBe(grammar.accepts(state));
          const next = ids.filter((id) => id !== STOP);
          if (next.length === 0) break;
          // Long tokens more often than single bytes.
          const long = next.filter((id) => id >= 258);
          const from = long.length > 0 && random() < 0.7 ? long : next;
          state = grammar.advance(state, from[Math.floor(random() * from.length)]!)!;
        }
      }),
      { numRuns: 12 },
    );
  });

  test("however a text is cut into tokens, it leads to the same state, and from a stored one too", () => {
    fc.assert(
      fc.property(fc.array(token, { maxLength: 30 }), fc.nat(), (texts, seed) => {
        const { trie, bytes } = vocabulary(texts);
        const [grammar, other] = [0, 1].map(() => compileGrammar(definition, { trie, stopTokens: [STOP] })) as [
          Grammar,
          Grammar,
        ];
        const random = randomNumbers(seed);
        let state = grammar.start();
        let single = grammar.start();
        for (let i = 0; i < 20; i++) {
          const next = idsOf(grammar.mask(state)).filter((id) => id !== STOP);
          if (next.length === 0) break;
          const id = next[Math.floor(random() * next.length)]!;
          state = grammar.advance(state, id)!;
          for (const byte of bytes[id]!) single = grammar.advance(single, 2 + byte)!;
          expect(single.state).toBe(state.state);
          const elsewhere = { numbers: state.numbers, epoch: -1, state: -1 };
          expect(state.numbers.length).toBeLessThanOrEqual(2048);
          expect(other.mask(elsewhere)).toEqual(grammar.mask(state));
        }
      }),
      { numRuns: 12 },
    );
  });
});

test.each(["a{0,60}", '"[^"]{0,60}"?', "(?:a|é){20,60}"])(
  "at every count of %s, with tokens of every length",
  (pattern) => {
    const runs = Array.from({ length: 45 }, (_, i) => "a".repeat(i + 2));
    const { trie, bytes } = vocabulary([...PIECES, ...runs].map(utf8));
    const grammar = compileGrammar({ type: "regex", pattern }, { trie, stopTokens: [STOP] });
    let state = grammar.start();
    if (pattern.startsWith('"')) state = grammar.advance(state, 2 + 0x22)!;
    for (let count = 0; count <= 60; count++) {
      expect(idsOf(grammar.mask(state))).toEqual(slow(grammar, state, bytes.length));
      if (count < 60) state = grammar.advance(state, 2 + 0x61)!;
    }
  },
);

test("a stop token with bytes is no text, and behind the end nothing else follows", () => {
  const { trie } = vocabulary([]);
  const grammar = compileGrammar({ type: "regex", pattern: "a\\n?" }, { trie, stopTokens: [2 + 10] });
  const ended = grammar.advance(grammar.advance(grammar.start(), 2 + 97)!, 12)!;
  expect(idsOf(grammar.mask(grammar.start()))).toEqual([2 + 97]);
  expect(idsOf(grammar.mask(ended))).toEqual([12]);
  expect(grammar.advance(ended, 2 + 97)).toBeUndefined();
});

test("bytes that follow in any case are known", () => {
  const { trie } = vocabulary([]);
  const schema = {
    type: "object",
    properties: { answer: { const: "é" } },
    required: ["answer"],
    additionalProperties: false,
  };
  const grammar = compileGrammar({ type: "json_schema", schema }, { trie, stopTokens: [STOP] });
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  expect(text(grammar.forced(grammar.start()))).toBe("{");
  const quote = [...'{"'].reduce<GrammarState>(
    (state, byte) => grammar.advance(state, 2 + byte.charCodeAt(0))!,
    grammar.start(),
  );
  expect(text(grammar.forced(quote))).toBe('answer":');
});

test("their tokens are the longest ones, but for the last, which might go on behind them", () => {
  const pieces = ["a", "ans", "answ", "answers", "wer", 'er"', '":', '": ', ":1"].map(utf8);
  const { trie } = vocabulary(pieces);
  const of = (pattern: string, most = 9, stop = STOP) => {
    const grammar = compileGrammar({ type: "regex", pattern }, { trie, stopTokens: [stop] });
    return grammar.forcedTokens(grammar.start(), most).map((id) => Buffer.from(trie.bytes(id)).toString());
  };
  expect(of('\\{"answer":\\s?\\d')).toEqual(["{", '"', "answ", 'er"']);
  expect(of('\\{"answer":\\s?\\d', 2)).toEqual(["{", '"']);
  expect(of("xanswe[a-z]")).toEqual(["x"]);
  // The tokens of "x" and of "answ" end a text; of two tokens with the same bytes the last one is meant.
  expect(of("xz1!", 9, 2 + 0x78)).toEqual([]);
  expect(of("answerz1!", 9, 258 + 2)).toEqual(["ans", "wer", "z", "1"]);
  const grammar = compileGrammar({ type: "regex", pattern: "abc" }, { trie, stopTokens: [STOP] });
  expect(grammar.forcedTokens(grammar.start(), 1)).toEqual([258]);
});

test("numbers that are no state of a grammar are refused", () => {
  const { trie } = vocabulary([]);
  const grammar = compileGrammar({ type: "json_object" }, { trie, stopTokens: [STOP] });
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -3, max: 300 }), { minLength: 1, maxLength: 40 }), (numbers) => {
      try {
        const mask = grammar.mask({ numbers: Int32Array.from(numbers), epoch: -1, state: -1 });
        expect(mask.length).toBe(Math.ceil(258 / 32));
      } catch (error) {
        expect((error as Error).message).toStartWith("snapshot: format: expected a state of this responseFormat");
      }
    }),
    { numRuns: 500 },
  );
});

test("states that are forgotten are found again", () => {
  const { trie } = vocabulary([]);
  const definition = { type: "json_schema", schema: { type: "string", maxLength: 30_000 } } as const;
  const grammar = compileGrammar(definition, { trie, stopTokens: [STOP] });
  let state = grammar.advance(grammar.start(), 2 + 34)!;
  for (let i = 0; i < 30_000; i++) state = grammar.advance(state, 2 + 97)!;
  expect(state.epoch).toBeGreaterThan(0);
  expect(idsOf(grammar.mask(state))).toEqual([2 + 34]);
});
