/** The `model` of a tokenizer.json with what is seldom in it. Expected tokens are those of Hugging Face tokenizers 0.23.3. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { BpeModel } from "../../src/tokenizer/bpe.ts";
import { Field } from "../../src/tokenizer/field.ts";
import { MergeList, Merger, type Merges, ScoredMerges } from "../../src/tokenizer/merger.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { Vocabulary } from "../../src/tokenizer/vocabulary.ts";

const vocabOf = (...tokens: string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));
const tokenizerOf = (model: unknown, more: object = {}) => new Tokenizer({ added_tokens: [], model, ...more }, {}, "x");
const tokensOf = (tokenizer: Tokenizer, text: string) => tokenizer.encode(text).map((id) => tokenizer.token(id));

const BYTES = Object.fromEntries(
  Array.from({ length: 256 }, (_, b) => [`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`, 10 + b]),
);
const [AB, PREFIX, SUFFIX] = [
  { type: "BPE", vocab: vocabOf("a", "b", "ab"), merges: ["a b"] },
  {
    continuing_subword_prefix: "##",
    vocab: vocabOf("a", "##b", "##c", "ab", "##bc", "b", "abc", "<u>"),
    unk_token: "<u>",
    merges: [
      ["##b", "##c"],
      ["a", "##b"],
      ["a", "##bc"],
    ],
  },
  {
    end_of_word_suffix: "</w>",
    vocab: vocabOf("a", "b", "b</w>", "ab</w>", "a</w>", "<u>", "aa", "aab</w>"),
    unk_token: "<u>",
    merges: ["a b</w>", "a a", "aa b</w>"],
  },
];
const BOTH = {
  ...{ continuing_subword_prefix: "##", end_of_word_suffix: "</w>", merges: ["a ##b</w>", "a ##b"] },
  vocab: vocabOf("a", "##b", "##b</w>", "ab</w>", "a</w>", "ab"),
};
const FALLBACK = {
  ...{ byte_fallback: true, end_of_word_suffix: "</w>", unk_token: "<u>", merges: ["a b</w>"] },
  vocab: { ...vocabOf("a", "b", "ab</w>", "b</w>", "<u>"), ...BYTES },
};

test("an unk_token that is no token is an error only where it is needed, as in Hugging Face", () => {
  const model = new BpeModel(new Field({ ...AB, unk_token: "[UNK]" }, "model"));
  const ids: number[] = [];
  model.encode("abb", ids);
  expect(ids).toEqual([AB.vocab.ab, AB.vocab.b] as number[]);
  expect(() => model.encode("ax", [])).toThrow(
    'model: unk_token: expected a token of the vocabulary, to stand for "x", found "[UNK]"',
  );
});

const SUFFIX_BYTES = ["<0x3C>", "<0x2F>", "<0x77>", "<0x3E>"];

test.each<[name: string, model: object, expected: Record<string, string[]>]>([
  ["merges as strings", AB, { ab: ["ab"] }],
  ["merges as pairs", { ...AB, merges: [["a", "b"]] }, { ab: ["ab"] }],
  ["merges with a version", { ...AB, merges: ["#version: 0.2", "a b"] }, { ab: ["ab"] }],
  ["no type, dropout 0", { vocab: AB.vocab, merges: AB.merges, dropout: 0 }, { ab: ["ab"] }],
  [
    "a merge twice: the last counts",
    { vocab: vocabOf("a", "b", "c", "ab", "bc"), merges: ["a b", "b c", "a b"] },
    { abc: ["a", "bc"] },
  ],
  [
    "continuing_subword_prefix",
    PREFIX as object,
    {
      abc: ["abc"],
      bc: ["b", "##c"],
      ab: ["ab"],
      bb: ["b", "##b"],
      cab: ["<u>", "<u>", "##b"],
      xb: ["<u>", "##b"],
      ax: ["a", "<u>"],
    },
  ],
  [
    "end_of_word_suffix",
    SUFFIX as object,
    {
      ab: ["ab</w>"],
      a: ["a</w>"],
      aab: ["a", "ab</w>"],
      ba: ["b", "a</w>"],
      bx: ["b", "<u>"],
      xb: ["<u>", "b</w>"],
      bbab: ["b", "b", "ab</w>"],
    },
  ],
  [
    "both, and no unknown token",
    BOTH,
    { ab: ["ab</w>"], a: ["a</w>"], abb: ["ab", "##b</w>"], axb: ["ab</w>"], xb: ["##b</w>"] },
  ],
  [
    "byte_fallback with a suffix",
    FALLBACK,
    { ab: ["ab</w>"], ax: ["a", "<0x78>", ...SUFFIX_BYTES], é: ["<0xC3>", "<0xA9>", ...SUFFIX_BYTES] },
  ],
  [
    "ignore_merges looks for the piece as it stands",
    {
      ignore_merges: true,
      end_of_word_suffix: "</w>",
      vocab: vocabOf("a", "b", "ab", "ab</w>", "b</w>", "c", "d", "cd", "d</w>"),
      merges: ["a b</w>"],
    },
    { ab: ["ab"], cd: ["cd"] },
  ],
])("%s", (_, model, expected) => {
  const tokenizer = tokenizerOf(model);
  for (const [text, tokens] of Object.entries(expected)) expect(tokensOf(tokenizer, text)).toEqual(tokens);
});

test("affixes in long pieces, which are cut at seams", () => {
  const long = `${"ab".repeat(60)}c`;
  const prefix = tokenizerOf(PREFIX);
  expect(tokensOf(prefix, `a${"b".repeat(100)}`)).toEqual(["ab", ...Array(99).fill("##b")]);
  expect(tokensOf(prefix, `${"x".repeat(100)}bc`).slice(-2)).toEqual(["<u>", "##bc"]);
  const suffix = tokenizerOf(SUFFIX);
  expect(tokensOf(suffix, long.slice(0, -1)).slice(-2)).toEqual(["b", "ab</w>"]);
});

test("what is cached changes no result, whatever came before", () => {
  const unit = fc.constantFrom("a", "b", "c", "##", "\u{1f467}", "\u{1f466}", "\ud83d", "\0", "0", "1", "<");
  const texts = fc.array(
    fc.array(unit, { maxLength: 5 }).map((units) => units.join("")),
    { minLength: 2, maxLength: 8 },
  );
  for (const model of [AB, PREFIX, SUFFIX, BOTH, FALLBACK, { ...AB, unk_token: "a" }]) {
    const property = fc.property(texts, (texts) => {
      const one = tokenizerOf(model);
      for (const text of texts) expect(one.encode(text)).toEqual(tokenizerOf(model).encode(text));
    });
    fc.assert(property, { numRuns: 100, seed: 6 });
  }
});

test("truncation and padding are for batches: they are left to the caller", () => {
  const truncation = { max_length: 2, strategy: "LongestFirst", stride: 0, direction: "Right" };
  const padding = {
    strategy: { Fixed: 8 },
    direction: "Left",
    pad_id: 1,
    pad_type_id: 0,
    pad_token: "b",
    pad_to_multiple_of: null,
  };
  expect(tokensOf(tokenizerOf(AB, { truncation, padding }), "aab")).toEqual(["a", "ab"]);
});

test.each<[post_processor: object, tokens: string[]]>([
  [{ type: "BertProcessing", sep: ["b", 1], cls: ["a", 0] }, ["a", "ab", "b"]],
  [{ type: "RobertaProcessing", sep: ["b", 1], cls: ["a", 0] }, ["a", "ab", "b"]],
  [{ type: "Sequence", processors: [] }, ["ab"]],
  [
    {
      type: "Sequence",
      processors: [
        { type: "ByteLevel", trim_offsets: false },
        { type: "BertProcessing", sep: ["b", 1], cls: ["a", 0] },
      ],
    },
    ["a", "ab", "b"],
  ],
  [
    {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "x", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      special_tokens: { x: { id: "x", ids: [1, 0], tokens: ["b", "a"] } },
    },
    ["b", "a", "ab"],
  ],
])("%j", (post_processor, tokens) => {
  expect(tokensOf(tokenizerOf(AB, { post_processor }), "ab")).toEqual(tokens);
});

test.each<[decoder: object, texts: [string, string]]>([
  [{ type: "ByteFallback" }, ["aba", " b ba"]],
  [{ type: "Fuse" }, ["aba", " b ba"]],
  [{ type: "Strip", content: " ", start: 1, stop: 0 }, ["aba", "bba"]],
  [{ type: "Strip", content: "b", start: 0, stop: 1 }, ["aa", "  a"]],
  [{ type: "Sequence", decoders: [] }, ["aba", " b ba"]],
])("decoder %j", (decoder, texts) => {
  const tokenizer = tokenizerOf({ vocab: vocabOf("a", "b", " b"), merges: [] }, { decoder });
  expect(
    [
      [0, 1, 0],
      [2, 2, 0],
    ].map((ids) => tokenizer.decode(ids)),
  ).toEqual(texts);
});

/** Merges by their definition, one after the other: `rank` of two tokens, undefined if they are not merged. */
function mergedOneByOne(given: readonly string[], rank: (left: string, right: string) => number | undefined): string[] {
  const tokens = [...given];
  for (;;) {
    const ranks = tokens.slice(1).map((right, i) => rank(tokens[i] as string, right) ?? Infinity);
    const best = Math.min(...ranks);
    if (best === Infinity) return tokens;
    const at = ranks.indexOf(best);
    tokens.splice(at, 2, `${tokens[at]}${tokens[at + 1]}`);
  }
}

/** What a Merger makes of tokens, all of them in the vocabulary. */
function mergedIn(vocab: Vocabulary, merges: Merges, given: readonly string[]): (string | undefined)[] {
  const ids = Int32Array.from(given, (token) => vocab.find(token));
  return [...ids.subarray(0, new Merger(merges, 16).merge(ids, ids.length))].map((id) => vocab.token(id));
}

const LETTERS = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 40 });

test("merging is that of its definition: the first merge first, the leftmost of it", () => {
  const token = fc.constantFrom("a", "b", "c", "ab", "aa", "bc");
  const pairs = fc.uniqueArray(fc.tuple(token, token), { selector: String, maxLength: 12 });
  const property = fc.property(LETTERS, pairs, (given, pairs) => {
    const products = pairs.map(([a, b]) => a + b);
    const vocab = Vocabulary.from([...new Set(["a", "b", "c", "ab", "aa", "bc", ...products])]);
    const merges = new MergeList(vocab, 1);
    for (const [a, b] of pairs) {
      const bytes = new TextEncoder().encode(a + b);
      expect(merges.add(bytes, 0, a.length, a.length, bytes.length)).toBe(true);
    }
    const rank = (left: string, right: string) => {
      const found = pairs.findIndex(([a, b]) => a === left && b === right);
      return found < 0 ? undefined : found;
    };
    expect(mergedIn(vocab, merges.complete(), given)).toEqual(mergedOneByOne(given, rank));
  });
  fc.assert(property, { numRuns: 500, seed: 3 });
});

test("scores stand for merges: the best score first, then by the ids of both parts", () => {
  const tokens = fc.uniqueArray(fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 5 }), {
    maxLength: 30,
  });
  const property = fc.property(
    LETTERS,
    tokens,
    fc.infiniteStream(fc.integer({ min: 0, max: 4 })),
    (given, more, draw) => {
      const texts = [...new Set(["c", ...more, "a", "b"])];
      const vocab = Vocabulary.from(texts);
      const scores = Float32Array.from(texts, () => -(draw.next().value as number) / 3);
      const merges = texts.flatMap((text, id) =>
        Array.from(text.slice(1), (_, i) => [text.slice(0, i + 1), text.slice(i + 1)] as const)
          .filter((parts) => id % 7 > 0 && parts.every((part) => vocab.has(part)))
          .map(([a, b]) => ({ a, b, key: [-(scores[id] as number), vocab.find(a), vocab.find(b)] })),
      );
      merges.sort(({ key: x }, { key: y }) => x.map((value, i) => value - (y[i] as number)).find((d) => d !== 0) ?? 0);
      const rank = (left: string, right: string) => {
        const found = merges.findIndex(({ a, b }) => a === left && b === right);
        return found < 0 ? undefined : found;
      };
      const found = mergedIn(vocab, new ScoredMerges(vocab, scores, (id) => id % 7 > 0), given);
      expect(found).toEqual(mergedOneByOne(given, rank));
    },
  );
  fc.assert(property, { numRuns: 500, seed: 4 });
});
