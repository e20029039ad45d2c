import { existsSync, readFileSync } from "node:fs";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

const ROOT = new URL("../../", import.meta.url);
const SHARED = new URL("../shared/", ROOT);

export const readJson = (url: URL) => JSON.parse(readFileSync(url, "utf8"));

/** The tokenizer of the embedded models, always there. */
export const OWN_URL = new URL("models/lambent-llama-5m/tokenizer.json", ROOT);
export const ownJson = () => readJson(OWN_URL);
export const ownConfig = () => readJson(new URL("tokenizer_config.json", OWN_URL));
export const own = () => new Tokenizer(ownJson(), ownConfig(), "lambent-llama-5m");

/** A tokenizer that only tests may use, of a folder beside the repository. */
export interface SharedTokenizer {
  readonly name: string;
  readonly there: boolean;
  readonly json: () => unknown;
  readonly load: () => Tokenizer;
  readonly read: (file: string) => unknown;
}

function shared(name: string): SharedTokenizer {
  const url = new URL(`${name}/tokenizer.json`, SHARED);
  const there = existsSync(url);
  return {
    name: there ? name : `${name} (skipped: ../shared/${name} is not there)`,
    there,
    json: () => readJson(url),
    load: () => new Tokenizer(readJson(url), {}, name),
    read: (file) => readJson(new URL(file, url)),
  };
}

export const VECTORS = ["tokenizers/gpt2", "tokenizers/gpt-neox-20b", "tokenizers/llama2"].map(shared);
export const CHECKPOINTS = ["checkpoints/stories260K", "checkpoints/babyllama-tok105"].map(shared);

/** golden.jsonl: what Hugging Face's own library gives, see golden.py. */
export interface GoldenCase {
  readonly name: string;
  readonly base: "byte" | "char";
  readonly changes: Record<string, unknown>;
  /** For each text its ids and their decoded text. */
  readonly rows: [ids: number[], text: string][];
}

export function readGolden(): { texts: string[]; cases: GoldenCase[]; characterLevel: Json } {
  const lines = readFileSync(new URL("golden.jsonl", import.meta.url), "utf8")
    .trimEnd()
    .split("\n");
  const [head, ...cases] = lines.map((line) => JSON.parse(line));
  return { ...head, cases };
}

export type Json = { [key: string]: unknown };

/** A copy of `json` with values replaced by path, "a.b.c". */
export function changed(json: Json, changes: Record<string, unknown>): Json {
  const copy = structuredClone(json);
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split(".");
    const last = keys.pop()!;
    const target = keys.reduce((object, key) => object[key] as Json, copy);
    target[last] = value;
  }
  return copy;
}

/** A character-level tokenizer as Llama 2's, with byte tokens, so small that it can be written here. */
export function llamaJson(): Json {
  const vocab: Record<string, number> = { "<unk>": 0, "<s>": 1, "</s>": 2 };
  for (let b = 0; b < 256; b++) vocab[`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`] = 3 + b;
  for (const token of ["▁", "h", "i", "hi", "▁hi", "é", "▁▁"]) vocab[token] = Object.keys(vocab).length;
  const special = (id: number, content: string) => ({ id, content, special: true, normalized: false });
  return {
    added_tokens: [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      type: "BPE",
      unk_token: "<unk>",
      byte_fallback: true,
      fuse_unk: true,
      vocab,
      merges: ["h i", "▁ hi", "▁ ▁"],
    },
  };
}
