/** Unigram and WordPiece, with their normalizers and decoders. What is expected is from Hugging Face tokenizers 0.23.3. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ModelError } from "../../src/base/errors.ts";
import { Field } from "../../src/tokenizer/field.ts";
import { compileNormalizer } from "../../src/tokenizer/normalizer.ts";
import { TextStream } from "../../src/tokenizer/stream.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { charsmap } from "./protobuf.ts";

const normalized = (json: object, text: string) => compileNormalizer(new Field(json, "normalizer"))(text);
const PRECOMPILED = { type: "Precompiled", precompiled_charsmap: Buffer.from(charsmap()).toString("base64") };

describe("normalizers", () => {
  test.each([
    ["A", "a"],
    ["BAA b", "Baa b"],
    ["A\u0301x", "ax"],
    ["A\u0301\u0301\u0301\u0301", "a\u0301\u0301\u0301\u0301"],
    ["\r\nA", "\r\na"],
    ["éA", "éa"],
  ])("Precompiled: %j", (text, expected) => {
    expect(normalized(PRECOMPILED, text)).toBe(expected);
    expect(normalized({ ...PRECOMPILED, precompiled_charsmap: charsmap() }, text)).toBe(expected);
  });

  test("Nmt", () => {
    const text = "a\x00\x01\x7f\x80\x8f\t\n\x0c\r\u1680\u200b\u2581\ufeff\ufffdb";
    expect(normalized({ type: "Nmt" }, text)).toBe("a\x00\x80         b");
  });

  test.each([
    [{}, "ca va a  \u6f22  \u5b57 x\u03c3\u03b1\u03c3 i"],
    [{ lowercase: false }, "\xc7a va \xc0  \u6f22  \u5b57 \u0301x\u03a3\u0391\u03a3 \u0130"],
    [{ lowercase: false, strip_accents: true }, "Ca va A  \u6f22  \u5b57 x\u03a3\u0391\u03a3 I"],
    [{ strip_accents: false }, "\xe7a va \xe0  \u6f22  \u5b57 \u0301x\u03c3\u03b1\u03c3 i\u0307"],
    [{ clean_text: false, handle_chinese_chars: false }, "ca\x00 va\ta \u6f22\u5b57x\ufffd\u200b\u03c3\u03b1\u03c3 i"],
  ])("BertNormalizer: %j", (parts, expected) => {
    const text = "Ça\x00 va\tÀ 漢字\u0301x\ufffd\u200bΣΑΣ İ";
    expect(normalized({ type: "BertNormalizer", ...parts }, text)).toBe(expected);
  });

  test.each([
    ["AAA", "a table of replacements"],
    ["?", "base64"],
    [3, "base64"],
    [Buffer.from([255, 255, 0, 0]).toString("base64"), "a table of replacements"],
  ])("a table that is none: %j", (precompiled_charsmap, expected) => {
    const field = new Field({ ...PRECOMPILED, precompiled_charsmap }, "n");
    expect(() => compileNormalizer(field)).toThrow(`n: precompiled_charsmap: expected ${expected}, found`);
  });

  test("a damaged table gives some text", () => {
    const bytes = charsmap();
    const edits = fc.array(fc.tuple(fc.nat(bytes.length - 5), fc.nat(255)), { minLength: 1, maxLength: 40 });
    const property = fc.property(edits, (edits) => {
      const damaged = bytes.slice();
      for (const [at, byte] of edits) damaged[4 + at] = byte;
      expect(normalized({ ...PRECOMPILED, precompiled_charsmap: damaged }, "AÁ 漢\u{1f467}")).toBeString();
    });
    fc.assert(property, { numRuns: 300, seed: 8 });
  });
});

describe("WordPiece", () => {
  const TOKENS = [
    "[UNK]",
    "un",
    "##aff",
    "##able",
    "a",
    "##a",
    "##b",
    "n",
    "'",
    "t",
    ".",
    "##ff",
    "do",
    "not",
    "n't",
    ",",
  ];
  const model = {
    type: "WordPiece",
    unk_token: "[UNK]",
    max_input_chars_per_word: 8,
    vocab: Object.fromEntries(TOKENS.map((token, id) => [token, id])),
  };
  const parts = { pre_tokenizer: { type: "BertPreTokenizer" }, decoder: { type: "WordPiece" } };
  const tokenizer = new Tokenizer({ model, ...parts }, {}, "w");

  test.each<[text: string, ids: number[], decoded: string]>([
    ["unaffable", [0], "[UNK]"],
    ["unaff", [1, 2], "unaff"],
    ["a aab, ab.", [4, 4, 5, 6, 15, 4, 6, 10], "a aab, ab."],
    ["xa a", [0, 4], "[UNK] a"],
    ["aaaaaaaa aaaaaaaaa", [4, 5, 5, 5, 5, 5, 5, 5, 0], "aaaaaaaa [UNK]"],
    ["", [], ""],
    ["do not a't", [12, 13, 4, 8, 9], "do not a ' t"],
  ])("%j", (text, ids, decoded) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(decoded);
  });

  test.each([
    [[2, 3], "##affable"],
    [[14, 14], "n'tn't"],
    [[10, 4, 10, 15], ". a.,"],
    [[12, 13, 12], "do not do"],
  ])("decodes %j", (ids, text) => {
    expect(tokenizer.decode(ids)).toBe(text);
    // A stream that goes on from the state of another knows that it is not at the start.
    const first = new TextStream(tokenizer);
    const start = first.push(ids[0] as number);
    const rest = new TextStream(tokenizer, first.state);
    expect(
      start +
        ids
          .slice(1)
          .map((id) => rest.push(id))
          .join(""),
    ).toBe(text);
  });

  test("an unknown token that is missing is an error where it is needed", () => {
    const bare = new Tokenizer({ model: { ...model, vocab: { a: 0 } }, ...parts }, {}, "w");
    expect(bare.encode("a")).toEqual([0]);
    const message = 'w: model.unk_token: expected a token of the vocabulary, to stand for "b", found "[UNK]"';
    expect(() => bare.encode("b")).toThrow(message);
  });
});

describe("Unigram", () => {
  const VOCAB: [string, number][] = [["<unk>", 0], ["a", -1], ["b", -1.5], ["ab", -2.5], ["abc", -2.2], ["c", -3], ["▁", -2],
    ["▁a", -2.5], ["é", -4], ["bb", -3.0], ["<0xC3>", -9], ["<0xBC>", -9]]; // biome-ignore format: a table
  const of = (parts: object) =>
    new Tokenizer({ model: { type: "Unigram", unk_id: 0, vocab: VOCAB, ...parts } }, {}, "u");

  test.each<[text: string, ids: number[], bytes?: number[]]>([
    ["ab", [3]],
    ["abc", [4]],
    ["aabbc", [1, 1, 9, 5]],
    ["xyab", [0, 3]],
    ["xé x", [0, 8, 0]],
    ["ü", [0], [10, 11]],
    ["bbb", [2, 9]],
    ["x<unk>y", [0]],
  ])("%j", (text, ids, bytes = ids) => {
    expect(of({}).encode(text)).toEqual(ids);
    expect(of({ byte_fallback: true }).encode(text)).toEqual(bytes);
  });

  test("of all ways to cut a text none has a higher sum of scores", () => {
    const letter = fc.constantFrom("a", "b", "é", "\u{1f467}");
    const word = fc.string({ unit: letter, minLength: 1, maxLength: 4 });
    const vocab = fc.uniqueArray(fc.tuple(word, fc.integer({ min: -40, max: -1 })), {
      selector: ([text]) => text,
      maxLength: 20,
    });
    const property = fc.property(vocab, fc.string({ unit: letter, maxLength: 9 }), (words, text) => {
      const scores = new Map<string, number>(words);
      const worst = Math.min(0, ...scores.values());
      /** The highest sum from each position on. */
      const from = (rest: string): number => {
        if (rest === "") return 0;
        const first = [...rest][0] as string;
        const parts = [...scores].filter(([part]) => rest.startsWith(part));
        const sums = parts.map(([part, score]) => score + from(rest.slice(part.length)));
        if (!scores.has(first)) sums.push(worst - 10 + from(rest.slice(first.length)));
        return Math.max(...sums);
      };
      const tokenizer = new Tokenizer({ model: { type: "Unigram", unk_id: 0, vocab: [["?", 0], ...words] } }, {}, "u");
      const ids = tokenizer.encode(text);
      if (ids.includes(0)) return; // which characters it stands for is not told
      expect(ids.map((id) => tokenizer.token(id)).join("")).toBe(text);
      expect(ids.reduce((sum, id) => sum + (words[id - 1]?.[1] as number), 0)).toBe(from(text));
    });
    fc.assert(property, { numRuns: 1000, seed: 7 });
  });

  test.each([
    [{ vocab: [] }, "model.vocab: expected at least one token, found an array of 0"],
    [{ vocab: {} }, "model.vocab: expected an array, found an object"],
    [{ vocab: [["a"]] }, "model.vocab[0]: expected a token and its score, found an array of 1"],
    [{ vocab: [["a", null]] }, "model.vocab[0]: expected a token and its score"],
    [{ unk_id: 12 }, "model.unk_id: expected an integer in 0..11, found 12"],
  ])("refused: %j", (parts, message) => {
    expect(() => of(parts)).toThrow(ModelError);
    expect(() => of(parts)).toThrow(`u: ${message}`);
  });

  test("an unknown token that is missing is an error where it is needed", () => {
    const bare = of({ unk_id: null });
    expect(bare.encode("ab")).toEqual([3]);
    expect(() => bare.encode("x")).toThrow('u: model.unk_id: expected the id of a token, to stand for "x", found null');
  });
});
