/** Tokenizers of GGUF files: small ones written here, and Gemma 3's own, where the file is there. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { ModelError } from "../../src/base/errors.ts";
import { renderChat } from "../../src/tokenizer/chat.ts";
import { fromGguf } from "../../src/tokenizer/gguf.ts";
import { GGUF_PRE } from "../../src/tokenizer/gguf_pre.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { ggufMetadata, metadataOf } from "./gguf_metadata.ts";
import { charsmap } from "./protobuf.ts";

const BYTES = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
const NORMAL_TOKENS = ["▁", "h", "i", "hi", "▁hi", "é"];
const [TOKENS, TYPES] = [
  ["<unk>", "<s>", "</s>", "  ", "<tok>", ...BYTES, ...NORMAL_TOKENS],
  [2, 3, 3, 4, 4, ...BYTES.map(() => 6), ...NORMAL_TOKENS.map(() => 1)],
];
const LLAMA = {
  "ggml.model": "llama",
  "ggml.tokens": TOKENS,
  "ggml.token_type": Int32Array.from(TYPES),
  "ggml.scores": Float32Array.from(TOKENS, (_, id) => (id < 261 ? 0 : -id)),
};
const GPT2 = {
  "ggml.model": "gpt2",
  "ggml.pre": "gpt-2",
  "ggml.tokens": ["<|end|>", "a", "b", "ab", "Ġ", "Ġab", "Ì", "ģ", "<x>"],
  "ggml.token_type": Int32Array.of(3, 1, 1, 1, 1, 1, 1, 1, 4),
  "ggml.merges": ["a b", "Ġ ab"],
  "ggml.bos_token_id": 0,
};

const tokenizerOf = (values: Record<string, unknown>) => {
  const { json, config } = fromGguf(metadataOf(values), "file.gguf");
  return new Tokenizer(json, config, "file.gguf");
};
const tokensOf = (values: Record<string, unknown>, text: string) => {
  const tokenizer = tokenizerOf(values);
  const ids = tokenizer.encode(text);
  return { tokens: ids.map((id) => tokenizer.token(id)), text: tokenizer.decode(ids) };
};

describe("Llama's kind", () => {
  test("scores merge, bytes stand for the rest, special tokens are found, each section gets a space", () => {
    const tokens = ["<s>", "▁hi", "<tok>", "▁hi", "<0xC3>", "<0xBC>"];
    expect(tokensOf(LLAMA, "hi<tok>hiü")).toEqual({ tokens, text: "hi<tok> hiü" });
    expect(tokensOf(LLAMA, "</s>é").tokens).toEqual(["<s>", "</s>", "▁", "é"]);
  });

  test("user-defined runs of spaces are merged, and found where the text has their marks", () => {
    const tokenizer = tokenizerOf({ ...LLAMA, "ggml.add_space_prefix": false });
    const id = (token: string) => tokenizer.id(token) as number;
    const [two, hi, marked] = [id("▁▁"), id("hi"), id("▁hi")];
    expect(two).toBe(3);
    for (const text of ["  hi", "▁▁hi", "▁ hi"]) expect(tokenizer.encode(text)).toEqual([1, two, hi]);
    expect(tokenizer.encode("▁▁ hi")).toEqual([1, two, marked]);
  });

  test.each([
    [{ "ggml.add_space_prefix": false }, ["<s>", "hi"]],
    [{ "ggml.add_bos_token": false }, ["▁hi"]],
    [{ "ggml.add_eos_token": true }, ["<s>", "▁hi", "</s>"]],
    [{ "ggml.bos_token_id": 4, "ggml.eos_token_id": 0xffffffff, "ggml.add_eos_token": true }, ["<tok>", "▁hi"]],
    [{ "ggml.token_type": undefined }, ["<s>", "▁hi"]],
  ])("%j", (changes, tokens) => {
    expect(tokensOf({ ...LLAMA, ...changes }, "hi").tokens).toEqual(tokens);
  });
});

describe("byte-level kinds", () => {
  test("given merges, no BOS by default, added tokens", () => {
    expect(tokensOf(GPT2, "ab ab<x><|end|>")).toEqual({ tokens: ["ab", "Ġab", "<x>", "<|end|>"], text: "ab ab<x>" });
    expect(tokensOf({ ...GPT2, "ggml.add_bos_token": true }, "ab").tokens).toEqual(["<|end|>", "ab"]);
  });

  test("BOS and whole words are by the kind of words, as is NFC", () => {
    const llama3 = { ...GPT2, "ggml.pre": "llama-bpe", "ggml.merges": ["a b"] };
    expect(tokensOf(llama3, " ab").tokens).toEqual(["<|end|>", "Ġab"]);
    // U+0341 is normalized to U+0301, whose bytes are "Ì ģ"; its own second one is "ģ" too.
    expect(tokensOf(GPT2, "\u0341").tokens).toEqual(["ģ"]);
    expect(tokensOf({ ...GPT2, "ggml.pre": "qwen2" }, "\u0341").tokens).toEqual(["Ì", "ģ"]);
  });

  test.each([...GGUF_PRE.keys()])("%s cuts words", (pre) => {
    const { json } = fromGguf(metadataOf({ ...GPT2, "ggml.pre": pre }), "x");
    expect(new Tokenizer(json, {}, "x").encode("ab ab")).toEqual([3, 5]);
  });

  test("gemma4: merges over characters", () => {
    const { "ggml.scores": _, ...parts } = LLAMA;
    const gemma4 = { ...parts, "ggml.model": "gemma4", "ggml.merges": ["h i", "▁ hi"] };
    expect(tokensOf(gemma4, "hi hi")).toEqual({ tokens: ["hi", "▁hi"], text: "hi hi" });
  });
});

test("bert: words are marked, framed, and lower case", () => {
  const tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁un", "able", "▁!", "[x]"];
  const ids = { "ggml.unknown_token_id": 1, "ggml.cls_token_id": 2, "ggml.seperator_token_id": 3 };
  const bert = {
    "ggml.model": "bert",
    "ggml.tokens": tokens,
    "ggml.token_type": Int32Array.of(3, 3, 3, 3, 1, 1, 1, 1),
    ...ids,
  };
  const words = ["[CLS]", "un", "##able", "!", "[UNK]", "[SEP]"];
  expect(tokensOf(bert, "Ünable! x")).toEqual({ tokens: words, text: "unable!" });
  const cased = { ...bert, "ggml.normalizer.lowercase": false };
  expect(tokensOf(cased, "Ünable!").tokens).toEqual(["[CLS]", "[UNK]", "!", "[SEP]"]);
});

test("t5: scores, EOS, a table of replacements", () => {
  const t5 = {
    ...{ "ggml.model": "t5", "ggml.tokens": ["<pad>", "</s>", "<unk>", "▁a", "▁", "a", "aa"], "ggml.eos_token_id": 1 },
    ...{
      "ggml.token_type": Int32Array.of(3, 3, 2, 1, 1, 1, 1),
      "ggml.scores": Float32Array.of(0, 0, 0, -1, -2, -2, -2.5),
    },
    ...{ "ggml.unknown_token_id": 2, "ggml.remove_extra_whitespaces": true },
  };
  expect(tokensOf(t5, "a  aaab")).toEqual({ tokens: ["▁a", "▁a", "aa", "<unk>", "</s>"], text: "a aaa" });
  const replacing = { ...t5, "ggml.precompiled_charsmap": new Int8Array(charsmap().buffer) };
  expect(tokensOf(replacing, "A").tokens).toEqual(["▁a", "</s>"]);
  expect(tokensOf({ ...t5, "ggml.add_eos_token": false }, "a").tokens).toEqual(["▁a"]);
});

test("chat templates, with and without a name", () => {
  const values = { ...LLAMA, chat_template: "{{ messages[0].content }}!", "chat_template.tool_use": "tools" };
  const tokenizer = tokenizerOf(values);
  expect(renderChat(tokenizer, [{ role: "user", content: "hi" }])).toBe("hi!");
  expect(tokenizer.chatTemplates.get("tool_use")).toBe("tools");
});

test.each<[changes: Record<string, unknown>, message: string]>([
  [{ "ggml.model": "rwkv" }, "model: expected one of llama, "],
  [{ "ggml.model": undefined }, "model: expected one of llama, "],
  [{ "ggml.tokens": undefined }, "tokens: expected an array of strings, found nothing"],
  [{ "ggml.tokens": [] }, "tokens: expected 1 to 16777215 tokens, found 0"],
  [{ "ggml.scores": undefined }, "scores: expected an array of f32, found none"],
  [{ "ggml.scores": Float32Array.of(1) }, "scores: expected 267 numbers, one for each token, found 1"],
  [{ "ggml.scores": new Float32Array(267).fill(NaN) }, "scores: expected finite numbers, found NaN (token 0)"],
  [{ "ggml.token_type": "x" }, "token_type: expected an array of numbers, found string"],
  [{ "ggml.token_type": [[]] }, "token_type: expected an array of numbers, found object"],
  [{ "ggml.bos_token_id": "1" }, "bos_token_id: expected a number, found 1"],
  [{ "ggml.add_bos_token": 1 }, "add_bos_token: expected true or false, found 1"],
  [{ ...GPT2, "ggml.pre": "new" }, "pre: expected one of gpt-2, "],
  [{ ...GPT2, "ggml.pre": undefined }, "pre: expected one of gpt-2, "],
  [{ ...GPT2, "ggml.merges": undefined }, "merges: expected an array of strings, found nothing"],
  [{ ...GPT2, "ggml.merges": ["a b", "a"] }, 'merges: 1: expected "a b", where ab is a token, found "a"'],
  [{ ...GPT2, "ggml.merges": ["b a"] }, 'merges: 0: expected "a b", where ab is a token, found "b a"'],
])("refused: %j", (changes, message) => {
  const values = metadataOf({ ...LLAMA, ...changes });
  expect(() => fromGguf(values, "f")).toThrow(ModelError);
  expect(() => fromGguf(values, "f")).toThrow(`f: tokenizer.ggml.${message}`);
});

const GEMMA = `${process.env.LAMBENT_MODELS ?? ""}/gemma-3-270m-q4_k_m.gguf`;
const GOLDEN = new URL("../../../shared/models-real/gemma3-270m/tokens.json", import.meta.url);
const there = existsSync(GEMMA) && existsSync(GOLDEN);
const name = there ? "Gemma 3" : "Gemma 3 (skipped: the file or its goldens are not there, see LAMBENT_MODELS)";

test.skipIf(!there)(name, () => {
  const { json, config } = fromGguf(ggufMetadata(GEMMA), GEMMA);
  const tokenizer = new Tokenizer(json, config, GEMMA);
  const golden: { text: string; ids: number[] }[] = JSON.parse(readFileSync(GOLDEN, "utf8"));
  for (const { text, ids } of golden) {
    expect(tokenizer.encode(text)).toEqual([2, ...ids]);
    // "▁" in a text cannot be told from a space.
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(text.replaceAll("▁", " "));
  }
});
