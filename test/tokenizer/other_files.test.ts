/** Tokenizers of folders without tokenizer.json, and what older settings files say beside one. */
import { describe, expect, test } from "bun:test";
import { LambentError, ModelError } from "../../src/base/errors.ts";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import { loadTokenizer, requireTokenizer, tokenizerFiles, tokenizerOf } from "../../src/session/load_tokenizer.ts";
import { renderChat } from "../../src/tokenizer/chat.ts";
import { readSentencePiece } from "../../src/tokenizer/sentencepiece.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { MemoryFiles, safetensors } from "../formats/files.ts";
import golden from "../wild/tokenizer_files.json";
import { differences, type Golden, type Row } from "../wild/tokenizer_files.ts";
import { ownConfig, ownJson } from "./files.ts";
import { charsmap, Float, protobuf, sentencePiece } from "./protobuf.ts";

const { strings, contents, cases } = golden as unknown as Golden;
const bytesOf = (content: number) => new Uint8Array(Buffer.from(contents[content] as string, "base64"));
const WEIGHTS = safetensors({ x: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 4);
type Content = Uint8Array | string | object;

/** The tokenizer of a folder of these files. */
async function tokenizerIn(files: Record<string, Content>, config: object = { model_type: "llama" }) {
  const checkpoint = await openDirectory(
    new MemoryFiles({ "config.json": { vocab_size: 99, ...config }, "model.safetensors": WEIGHTS, ...files }),
  );
  try {
    return (await loadTokenizer(checkpoint)) as Tokenizer;
  } finally {
    await checkpoint.close();
  }
}

async function refusal(files: Record<string, Content>, config?: object): Promise<string> {
  const error = await tokenizerIn(files, config).then(
    () => new Error("accepted"),
    (error: unknown) => error as Error,
  );
  if (!(error instanceof ModelError)) throw error;
  return error.message;
}

describe("as transformers reads them", () => {
  test.each(Object.keys(cases))("%s", async (name) => {
    const { config, files, rows } = cases[name] as Golden["cases"][string];
    const bytes = new Map(Object.entries(files).map(([file, content]) => [file, bytesOf(content)]));
    expect(rows.length).toBe(strings.length);
    expect(await differences(name, config, bytes, strings, rows as Row[])).toEqual([]);
  });
});

describe("tokenizer.model", () => {
  const model = sentencePiece(["▁", "a", "b", "ab", "▁ab"]);

  test("its pieces, merged by score", async () => {
    const tokenizer = await tokenizerIn({ "tokenizer.model": model }, { model_type: "mistral" });
    expect(tokenizer.encode("ab b")).toEqual([7, 3, 5]);
    expect(tokenizer.decode([7, 3, 5])).toBe("ab b");
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.vocabSize]).toEqual([1, 2, 8]);
  });

  test.each([
    ["no kind, which is Unigram", sentencePiece(["a"], []), "model_type: expected BPE, found Unigram"],
    ["Unigram", sentencePiece(["a"], [[3, 1]]), "model_type: expected BPE, found Unigram"],
    [
      "a field that is longer than the file",
      new Uint8Array([...sentencePiece(["a"]), 0x22, 100, 1]),
      "expected a SentencePiece model, found other bytes (at 63)",
    ],
    ["words", sentencePiece(["a"], [[3, 3]]), "model_type: expected BPE, found word"],
    ["an unknown kind", sentencePiece(["a"], [[3, 77]]), "model_type: expected BPE, found 77"],
    [
      "a piece twice",
      sentencePiece(["a", "b", "a"]),
      'piece 5: expected another text, found "a", which is piece 3 too',
    ],
    ["an empty piece", sentencePiece(["a", ""]), "piece 4: expected 1 to 512 characters, found 0"],
    ["a long piece", sentencePiece(["é".repeat(513)]), "piece 3: expected 1 to 512 characters, found 513"],
    ["no pieces", protobuf([[2, [[3, 2]]]]), "expected a SentencePiece model, found one without pieces"],
    ["a score that is none", protobuf([[1, [[1, "a"], [2, new Float(Number.NaN)]]], [2, [[3, 2]]]]), "piece 0: score: expected a finite number, found NaN"], // biome-ignore format: one line each
    ["a piece that is no text", protobuf([[1, [[1, new Uint8Array([0xff])]]], [2, [[3, 2]]]]), "protobuf field 1: expected UTF-8 text, found something else"], // biome-ignore format: one line each
    ["a number for a piece", protobuf([[1, 3], [2, [[3, 2]]]]), "protobuf field 1: expected a message, found something else"], // biome-ignore format: one line each
  ])("refused: %s", async (_, bytes, message) => {
    expect(await refusal({ "tokenizer.model": bytes })).toBe(`dir/tokenizer.model: ${message}`);
  });

  test.each([
    ["nothing", "", "expected a SentencePiece model, found one without pieces"],
    ["the ranks of tiktoken", "IQ== 0\nIg== 1\n", "expected a SentencePiece model, found "],
    ["a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\n", "expected a SentencePiece model, found "],
    ["JSON", '{"model": {}}', "expected a SentencePiece model, found "],
  ])("refused: %s", async (_, text, message) => {
    expect(await refusal({ "tokenizer.model": text })).toContain(`dir/tokenizer.model: ${message}`); // biome-ignore format: one line each
  });

  test("damaged bytes give a tokenizer or an error that names the file", async () => {
    const whole = bytesOf(Object.values(cases)[0]?.files["tokenizer.model"] as number);
    let state = 7;
    const random = (n: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    let refused = 0;
    for (let run = 0; run < 600; run++) {
      const bytes = whole.slice(0, run % 3 ? whole.length : random(whole.length));
      for (let n = random(4); n >= 0; n--) if (run % 3) bytes[random(bytes.length)] = random(256);
      // The rest of the file is about training; its first bytes matter most.
      if (run % 3 === 1) bytes.fill(random(256), random(200), 200 + random(200));
      try {
        const files = { name: "dir", bytes: new Map([["tokenizer.model", bytes]]), vocabSize: 500 };
        const tokenizer = await tokenizerOf({ ...files, modelType: "mistral", tokenizerClass: undefined });
        tokenizer.decode(tokenizer.encode("Once upon a time, é 😀"));
      } catch (error) {
        refused++;
        if (!(error instanceof ModelError) || !/^dir\/tokenizer\.model: .*expected .+, found /.test(error.message))
          throw error;
      }
    }
    expect(refused).toBeGreaterThan(100);
    expect(refused).toBeLessThan(600);
  });

  test("a table of replacements is applied where it counts, and nowhere else", async () => {
    const tokenizer = (map: Uint8Array, settings: object = {}) =>
      tokenizerIn(
        {
          "tokenizer.model": sentencePiece(["▁", "a", "A"], [[3, 2]], [[2, map]]),
          "tokenizer_config.json": settings,
        },
        { model_type: "mistral" },
      );
    expect((await tokenizer(charsmap())).encode("A")).toEqual([3, 4]);
    const damaged = { "tokenizer.model": sentencePiece(["▁"], [[3, 2]], [[2, Uint8Array.of(9)]]) };
    expect(await refusal(damaged, { model_type: "mistral" })).toMatch(
      /^dir\/tokenizer\.model: normalizer.*expected a table of replacements, found an object$/,
    );
    const bytes = sentencePiece(["▁", "a", "A"], [[3, 2]], [[2, charsmap()]]);
    const settings = { tokenizer_class: "LlamaTokenizer" };
    const llama = await tokenizerIn({ "tokenizer.model": bytes, "tokenizer_config.json": settings });
    expect(llama.encode("A")).toEqual([3, 5]);
  });

  test("numbers are read as of 32 bits, negative ones too", () => {
    const model = readSentencePiece(sentencePiece(["a"], [[3, 2], [41, -1], [42, 2], [35, 1]]), "m"); // biome-ignore format: fields
    expect([model.named, model.byteFallback]).toEqual([{ unk_token: "<unk>", eos_token: "</s>" }, true]);
  });
});

describe("which class reads which files", () => {
  const words = { "vocab.json": { a: 0, b: 1, ab: 2, Ġ: 3 }, "merges.txt": "#version: 0.2\r\na b\r\n" };
  const model = { "tokenizer.model": sentencePiece(["a"]) };

  test("vocab.json and merges.txt, with line ends of either kind", async () => {
    const tokenizer = await tokenizerIn(words, { model_type: "gptj" });
    expect(tokenizer.encode("ab a")).toEqual([2, 3, 0]);
    const named = await tokenizerIn(words, { model_type: "llama", tokenizer_class: "GPT2TokenizerFast" });
    expect(named.encode("ab")).toEqual([2]);
  });

  test.each([
    [words, { model_type: "llama" }, "tokenizer_class: expected one of GPT2Tokenizer, GPTNeoXTokenizer, Qwen2Tokenizer beside vocab.json and merges.txt, found nothing"], // biome-ignore format: one line each
    [words, { model_type: "llama", tokenizer_class: "BertTokenizer" }, "tokenizer_class: expected one of GPT2Tokenizer, GPTNeoXTokenizer, Qwen2Tokenizer beside vocab.json and merges.txt, found BertTokenizer"], // biome-ignore format: one line each
    [
      model,
      { model_type: "qwen2" },
      "tokenizer_class: expected one that reads a tokenizer.model, found Qwen2Tokenizer",
    ],
  ])("refused: %o %o", async (files, config, message) => {
    expect(await refusal(files, config)).toBe(`dir: ${message}`);
  });

  test("merges that are none, and tokens that there are not", async () => {
    const bad = (merges: string) => refusal({ ...words, "merges.txt": merges }, { model_type: "gptj" });
    expect(await bad("a b c")).toBe('dir/vocab.json: model.merges[0]: expected a pair of tokens, "a b" or ["a","b"], found "a b c"'); // biome-ignore format: one line each
    expect(await bad("a b\na x")).toMatch(
      /^dir\/vocab.json: model.merges\[1\]: expected tokens of the vocabulary, found/,
    );
  });

  test("tokenizer.json comes first, then tokenizer.model", async () => {
    const all = { "tokenizer.json": ownJson(), ...model, ...words };
    expect((await tokenizerIn(all)).vocabSize).toBe(4096);
    expect((await tokenizerIn({ ...model, ...words })).vocabSize).toBe(4);
  });

  test("what is missing is named, and half of a pair is nothing", async () => {
    for (const files of [{}, { "vocab.json": words["vocab.json"] }, { "merges.txt": "" }]) {
      expect(await tokenizerIn(files)).toBeUndefined();
    }
    const checkpoint = await openDirectory(new MemoryFiles({ "config.json": {}, "model.safetensors": WEIGHTS }));
    const error = await requireTokenizer(checkpoint).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(LambentError);
    expect((error as Error).message).toBe(
      "dir: expected tokenizer.json, tokenizer.model, or vocab.json and merges.txt, found none: only token ids can be used",
    );
    await checkpoint.close();
  });
});

describe("older settings files beside tokenizer.json", () => {
  const json = ownJson();
  const base = { "tokenizer.json": json, "tokenizer_config.json": {} };
  const known = json.added_tokens[0].content as string;
  const map = { bos_token: { content: known, lstrip: false }, pad_token: "the", additional_special_tokens: ["of"] };

  test("special_tokens_map.json names tokens, before tokenizer_config.json", async () => {
    const settings = { ...ownConfig(), bos_token: "a", cls_token: "b" };
    delete settings.added_tokens_decoder;
    const files = { ...base, "tokenizer_config.json": settings, "special_tokens_map.json": map };
    const tokenizer = await tokenizerIn(files);
    expect(tokenizer.bosToken).toBe(known);
    expect(tokenizer.specialTokens.get("cls_token")).toBe("b");
    const [the] = tokenizer.encode("the", { addSpecialTokens: false });
    expect([tokenizer.token(the as number), tokenizer.decode([the as number])]).toEqual(["the", ""]);
  });

  test("added_tokens.json adds tokens; those that are named are special", async () => {
    const added = { "<tool>": 4096, "<image>": 4097, [known]: 5 };
    const files = { ...base, "special_tokens_map.json": { eos_token: "<tool>" }, "added_tokens.json": added };
    const tokenizer = await tokenizerIn(files);
    const ids = tokenizer.encode(`<tool><image>${known}`, { addSpecialTokens: false });
    expect(ids).toEqual([4096, 4097, json.added_tokens[0].id]);
    expect([tokenizer.decode(ids), tokenizer.eosTokenId]).toEqual(["<image>", 4096]);
    expect(await refusal({ ...base, "added_tokens.json": { "<tool>": "x" } })).toContain("an integer");
  });

  test("where tokenizer_config.json has added_tokens_decoder, neither is asked for", async () => {
    const asked: string[] = [];
    const config = { added_tokens_decoder: { 0: { content: known, special: true } }, bos_token: known };
    const contents = { ...base, "tokenizer_config.json": config, "added_tokens.json": { "<tool>": 4096 } };
    const files = new MemoryFiles({ "config.json": {}, "model.safetensors": WEIGHTS, ...contents });
    const checkpoint = await openDirectory({
      name: files.name,
      open: (file) => {
        asked.push(file);
        return files.open(file);
      },
    });
    asked.length = 0;
    const tokenizer = await tokenizerOf(await tokenizerFiles(checkpoint));
    expect(asked).toEqual(["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json"]);
    expect([tokenizer.bosToken, tokenizer.id("<tool>")]).toEqual([known, undefined]);
    await checkpoint.close();
  });

  test("extra_special_tokens of transformers 5: a list, or tokens with names of their own", async () => {
    for (const extra_special_tokens of [["the"], { image_token: "the" }, [{ content: "the" }]]) {
      const tokenizer = await tokenizerIn({ ...base, "tokenizer_config.json": { extra_special_tokens } });
      const ids = tokenizer.encode("the", { addSpecialTokens: false });
      expect([ids.length, tokenizer.decode(ids)]).toEqual([1, ""]);
    }
  });

  test("chat templates: the .jinja file, else the .json file, else tokenizer_config.json", async () => {
    const named = [
      { name: "default", template: "config" },
      { name: "tool_use", template: "tools" },
    ];
    const rendered = async (files: Record<string, Content>, tools?: object[]) => {
      const tokenizer = await tokenizerIn({ ...base, "tokenizer_config.json": { chat_template: named }, ...files });
      return renderChat(tokenizer, [{ role: "user", content: "x" }], tools ? { tools } : {});
    };
    const older = { "chat_template.json": { chat_template: "json" } };
    const newer = { "chat_template.jinja": "jinja" };
    expect(await rendered({})).toBe("config");
    expect(await rendered({}, [{}])).toBe("tools");
    expect(await rendered(older)).toBe("json");
    expect(await rendered({ ...older, ...newer })).toBe("jinja");
    expect(await rendered(newer, [{}])).toBe("jinja");
  });
});
