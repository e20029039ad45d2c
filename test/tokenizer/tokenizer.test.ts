import { describe, expect, test } from "bun:test";
import * as library from "@huggingface/tokenizers";
import fc from "fast-check";
import { ModelError, OptionError } from "../../src/base/errors.ts";
import { Field } from "../../src/tokenizer/field.ts";
import { compilePreTokenizer } from "../../src/tokenizer/pretokenizer.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { changed, llamaJson, own, ownConfig, ownJson } from "./files.ts";

const BOS = "<|endoftext|>";
const llama = (changes: Record<string, unknown> = {}, config: unknown = {}) =>
  new Tokenizer(changed(llamaJson(), changes), config, "llama");

describe("special tokens", () => {
  const tokenizer = own();

  test("BOS comes from the post-processor, once, though add_bos_token says so too", () => {
    expect(tokenizer.encode("Hi")).toEqual([0, ...tokenizer.encode("Hi", { addSpecialTokens: false })]);
    expect(tokenizer.encode("")).toEqual([0]);
    expect(tokenizer.encode("", { addSpecialTokens: false })).toEqual([]);
    expect(tokenizer.count("Hi")).toBe(tokenizer.encode("Hi").length);
    expect([tokenizer.bosToken, tokenizer.eosToken]).toEqual([BOS, BOS]);
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId]).toEqual([0, 0]);
    expect(tokenizer.vocabSize).toBe(4096);
  });

  test("in a text they are recognized; decoding leaves them out unless asked", () => {
    const ids = tokenizer.encode(`a${BOS}b`, { addSpecialTokens: false });
    expect(ids[1]).toBe(0);
    expect(ids.length).toBe(3);
    expect(tokenizer.decode(ids)).toBe("ab");
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(`a${BOS}b`);
  });

  test.each([
    [{ add_bos_token: true, bos_token: "<s>" }, [1]],
    [{ add_bos_token: false, bos_token: "<s>" }, []],
    [{ bos_token: "<s>" }, [1]],
    [{}, [1]],
    [{ add_eos_token: true, eos_token: { content: "</s>" } }, [1, 2]],
    [{ add_bos_token: false, add_eos_token: true, bos_token: "<s>", eos_token: "</s>" }, [2]],
  ])("%j frames a text with %j", (config, frame) => {
    expect(llama({}, config).encode("")).toEqual(frame);
  });

  test("add_bos_token adds where the post-processor adds nothing", () => {
    const config = { add_bos_token: true, bos_token: "<s>" };
    expect(llama({ post_processor: null }, config).encode("")).toEqual([1]);
    expect(() => llama({}, { add_eos_token: true })).toThrow("llama: tokenizer_config: eos_token: expected a token");
  });

  test("the configuration's tokens are special, and named ones that do not exist have no id", () => {
    const config = {
      eos_token: "hi",
      pad_token: "<pad>",
      bos_token: "<none>",
      added_tokens_decoder: { 300: { content: "<x>", special: true, rstrip: true } },
    };
    const tokenizer = llama({ post_processor: null }, config);
    expect(tokenizer.encode("<x>  hi")).toEqual([300, tokenizer.id("hi")!]);
    expect(tokenizer.decode(tokenizer.encode("<x>  hi h"))).toBe(" h");
    expect(tokenizer.bosToken).toBe("<none>");
    expect(tokenizer.bosTokenId).toBeUndefined();
    expect(tokenizer.vocabSize).toBe(301);
  });
});

describe("text", () => {
  test("lone surrogates count as U+FFFD", () => {
    for (const tokenizer of [own(), llama()]) {
      expect(tokenizer.encode("a\ud800b\udc00")).toEqual(tokenizer.encode("a\ufffdb\ufffd"));
    }
  });

  test("every text comes back, byte-level and Llama style", () => {
    for (const tokenizer of [own(), llama()]) {
      fc.assert(
        fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
          fc.pre(!text.includes("▁") && !text.includes("<")); // Llama style writes spaces so; "<s>" is a token
          return tokenizer.decode(tokenizer.encode(text)) === text.toWellFormed();
        }),
        { numRuns: 500 },
      );
    }
  });

  test("long pieces are cut only where nothing can merge", () => {
    const { texts } = {
      texts: ["hi".repeat(99), " hi".repeat(99), "hhii ".repeat(50), "é".repeat(70), " ".repeat(99)],
    };
    const tokenizer = llama();
    const reference = new library.Tokenizer(llamaJson(), {});
    const letters = fc.array(fc.constantFrom("h", "i", " ", "é", "x", "hi", "\n"), { minLength: 70, maxLength: 200 });
    for (const text of [...texts, ...fc.sample(letters, 200).map((parts) => parts.join(""))]) {
      expect(tokenizer.encode(text)).toEqual(reference.encode(text).ids);
    }
  });

  test("1 MB takes seconds at most, also the worst of it", () => {
    const started = performance.now();
    for (const tokenizer of [own(), llama()]) {
      for (const text of ["It was a bright day. ".repeat(50_000), "h".repeat(1e6)]) {
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text);
      }
    }
    expect(performance.now() - started).toBeLessThan(30_000);
  }, 60_000);

  test("ids: none, unknown ones, and wrong ones", () => {
    const tokenizer = own();
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.decode([4096, 50_000, 2 ** 40])).toBe("");
    for (const id of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "1" as never, undefined as never]) {
      expect(() => tokenizer.decode([id])).toThrow(OptionError);
    }
    expect(() => tokenizer.decode([-7])).toThrow("token id: expected a non-negative integer, found -7");
    expect(() => tokenizer.encode(7 as never)).toThrow(OptionError);
  });
});

// The expected pieces are those of Hugging Face tokenizers 0.23.3.
test.each([
  [{ type: "Digits", individual_digits: true }, "a½٣1Ⅷ b２", ["a", "½", "٣", "1", "Ⅷ", " b", "２"]],
  [{ type: "Digits", individual_digits: false }, "a½٣1Ⅷ b２", ["a", "½٣1Ⅷ", " b", "２"]],
  [{ type: "Punctuation" }, "a,.b¿$+", ["a", ",", ".", "b", "¿", "$", "+"]],
  [{ type: "Whitespace" }, "a\u200db ½+x\u0085y", ["a\u200db", "½+", "x", "y"]],
])("%j cuts as in Hugging Face", (json, text, pieces) => {
  expect(compilePreTokenizer(new Field(json, "x"))(text, true)).toEqual(pieces);
});

describe("errors name the field", () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ "model.type": "WordLevel" }, 'model.type: expected one of BPE, Unigram, WordPiece, found "WordLevel"'],
    [{ "model.vocab": undefined }, "model.vocab: expected an object, found nothing"],
    [{ "model.vocab": {} }, "model.vocab: expected at least one token, found an object"],
    [{ "model.vocab": { a: 1.5 } }, "model.vocab.a: expected an integer in 0..16777215, found 1.5"],
    [{ "model.vocab": { "\n x": "3" } }, 'model.vocab["\\n x"]: expected an integer in 0..16777215, found "3"'],
    [{ "model.vocab": { a: 1, b: 1 } }, 'model.vocab.b: expected an id that no other token has ("a" has it), found 1'],
    [{ "model.merges": ["h i", "h"] }, 'model.merges[1]: expected a pair of tokens, "a b" or ["a","b"], found "h"'],
    [{ "model.merges": [["h", 3]] }, "model.merges[0]: expected a pair of tokens, each a string"],
    [{ "model.merges": ["q i"] }, 'model.merges[0]: expected tokens of the vocabulary, found "q", which is none'],
    [{ "model.dropout": 0.1 }, "model.dropout: expected null or 0, found 0.1"],
    [{ "model.end_of_word_suffix": 3 }, "model.end_of_word_suffix: expected a string, found 3"],
    [{ "model.continuing_subword_prefix": "##" }, 'model.merges[0]: expected a second token that begins with "##"'],
    [{ normalizer: { type: "Magic" } }, "normalizer.type: expected one of Sequence, Prepend, Replace,"],
    [{ pre_tokenizer: { type: "Bert" } }, "pre_tokenizer.type: expected one of Sequence, ByteLevel, Split,"],
    [
      { decoder: { type: "CTC" } },
      "decoder.type: expected one of Sequence, Replace, ByteFallback, Fuse, Strip, ByteLevel, Metaspace, WordPiece, found",
    ],
    [{ post_processor: 3 }, "post_processor: expected an object, found 3"],
    [
      {
        added_tokens: [
          { id: 3, content: "<s>" },
          { id: 0, content: "x" },
        ],
      },
      "added_tokens[1].id: expected an id that",
    ],
    [
      { pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" } },
      "pre_tokenizer.pattern.Regex: expected a regular expression",
    ],
    [
      { "post_processor.special_tokens": {} },
      'post_processor.special_tokens["<s>"]: expected an object, found nothing',
    ],
  ];
  test.each(cases)("%j", (changes, message) => {
    expect(() => llama(changes)).toThrow(ModelError);
    expect(() => llama(changes)).toThrow(`llama: ${message}`);
  });

  test.each([[null], [3], [[]], ["x"]])("a file that is %j", (json: unknown) => {
    expect(() => new Tokenizer(json, {}, "f")).toThrow(ModelError);
    expect(() => new Tokenizer(ownJson(), json, "f")).toThrow(ModelError);
  });

  test.each([
    [{ bos_token: 3 }, "tokenizer_config: bos_token: expected an object, found 3"],
    [{ add_bos_token: "yes" }, 'tokenizer_config: add_bos_token: expected true or false, found "yes"'],
    [{ chat_template: [{ name: "default" }] }, "tokenizer_config: chat_template[0].template: expected a string, found"],
    [
      { added_tokens_decoder: { x: {} } },
      "tokenizer_config: added_tokens_decoder.x: expected a key that is an integer",
    ],
  ])("configuration %j", (config, message) => {
    expect(() => llama({}, config)).toThrow(`llama: ${message}`);
  });

  test("components nested too deep", () => {
    let normalizer: unknown = { type: "NFC" };
    for (let i = 0; i < 1000; i++) normalizer = { type: "Sequence", normalizers: [normalizer] };
    expect(() => llama({ normalizer })).toThrow("levels of nesting");
  });
});

test("clean_up_tokenization_spaces is ignored: decoding is exact", () => {
  const tokenizer = new Tokenizer(ownJson(), { ...ownConfig(), clean_up_tokenization_spaces: true }, "own");
  expect(tokenizer.decode(tokenizer.encode("a , b . do n't"))).toBe("a , b . do n't");
});
