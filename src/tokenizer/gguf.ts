/**
 * Tokenizers of GGUF files, in the form of a tokenizer.json: what `tokenizer.ggml.*` says, and what the kind of tokenizer
 * implies. Text becomes the ids of the models' own Hugging Face tokenizers, also where llama.cpp differs (NFC, literal
 * "▁"). see: llama.cpp src/llama-vocab.cpp
 */
import { ModelError, mismatch, show } from "../base/errors.ts";
import { isOf } from "../base/realm.ts";
import { type StringTable, textAt } from "../base/string_table.ts";
import type { Converted } from "./convert.ts";
import { MARK, withMarks } from "./gguf_marks.ts";
import { GGUF_PRE, type GgufPre } from "./gguf_pre.ts";
import { MergeList, ScoredMerges } from "./merger.ts";
import { PieceType } from "./sentencepiece.ts";
import type { ScoredTokens } from "./unigram.ts";
import { MAX_ID, Vocabulary } from "./vocabulary.ts";

type Json = Record<string, unknown>;

const PREFIX = "tokenizer.ggml.";
const TEMPLATE = "tokenizer.chat_template";
/** Roles of special tokens, and the keys of their ids, misspelled as they are. */
const ROLES = {
  ...{ bos_token: "bos", eos_token: "eos", unk_token: "unknown", pad_token: "padding" },
  ...{ sep_token: "seperator", cls_token: "cls", mask_token: "mask" },
};
/** Ids that SentencePiece gives where a file names none. */
const SENTENCE_PIECE: Readonly<Record<string, number>> = { bos: 1, eos: 2, unknown: 0 };

/**
 * The tokenizer of a file's metadata: the value of each key as it was read, strings in a StringTable, other arrays as
 * typed arrays; keys that do not start with "tokenizer." are ignored.
 * @throws ModelError naming the key, for a kind of tokenizer or of words that is unknown, and for missing or wrong parts
 */
export function fromGguf(metadata: ReadonlyMap<string, unknown>, name: string): Converted {
  const file = new Metadata(metadata, name);
  const tokens = file.strings("tokens");
  if (tokens.count === 0 || tokens.count > MAX_ID) file.fail("tokens", `1 to ${MAX_ID} tokens`, tokens.count);
  const types = file.numbers("token_type", tokens.count);
  const kind = file.text("model");
  const parts = { file, tokens, types };
  switch (kind) {
    case "llama":
    case "gemma4": {
      const marked = { ...parts, tokens: withMarks(tokens, types) };
      return withNames(marked, sentencePiece(marked, kind), { bos: kind === "llama" });
    }
    case "gpt2": {
      const pre = preOf(file);
      return withNames(parts, byteLevel(parts, pre), { bos: pre.addBos ?? false });
    }
    case "bert":
      return withNames(parts, wordPiece(parts), { frame: true });
    case "t5":
      return withNames(parts, unigram(parts), { eos: true });
    default:
      return file.fail("model", "one of llama, gemma4, gpt2, bert, t5", kind ?? "nothing");
  }
}

interface Parts {
  readonly file: Metadata;
  readonly tokens: StringTable;
  /** PieceType by id; undefined: all are normal. */
  readonly types: ArrayLike<number> | undefined;
}

/** What is added to every text by default; `frame`: CLS before and SEP behind it, always. */
interface Adding {
  readonly bos?: boolean;
  readonly eos?: boolean;
  readonly frame?: boolean;
}

/** Adds special tokens, what is added to every text, and chat templates. */
function withNames({ file, tokens, types }: Parts, json: Json, add: Adding): Converted {
  const added: Json[] = [];
  for (let id = 0; types && id < tokens.count; id++) {
    const type = types[id];
    if (type !== PieceType.control && type !== PieceType.userDefined) continue;
    added.push({ id, content: textAt(tokens, id), special: type === PieceType.control, normalized: false });
  }
  const config: Json = {};
  for (const [role, key] of Object.entries(ROLES)) {
    const id = file.id(key, tokens.count);
    if (id !== undefined) config[role] = textAt(tokens, id);
  }
  const chat_template = file.chatTemplates();
  if (add.frame) {
    const [cls, sep] = ["cls", "seperator"].map((key) => [key, file.id(key, tokens.count)]);
    const post_processor = { type: "BertProcessing", cls, sep };
    return { json: { ...json, added_tokens: added, post_processor }, config: { ...config, chat_template } };
  }
  config.add_bos_token = (file.flag("add_bos_token") ?? add.bos ?? false) && "bos_token" in config;
  config.add_eos_token = (file.flag("add_eos_token") ?? add.eos ?? false) && "eos_token" in config;
  return { json: { ...json, added_tokens: added }, config: { ...config, chat_template } };
}

/** SentencePiece's BPE. Llama's kind has scores in place of merges. */
function sentencePiece({ file, tokens, types }: Parts, kind: "llama" | "gemma4"): Json {
  const vocab = new Vocabulary(tokens);
  const merges = kind === "llama" ? scoredMerges(file, vocab, types) : mergeList(file, vocab);
  const prefix = file.flag("add_space_prefix") ?? kind === "llama";
  const spaces = { type: "Replace", pattern: { String: " " }, content: MARK };
  const decoders = [
    { type: "Replace", pattern: { String: MARK }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
    ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
  ];
  const unknown = file.id("unknown", tokens.count);
  return {
    normalizer: { type: "Sequence", normalizers: prefix ? [{ type: "Prepend", prepend: MARK }, spaces] : [spaces] },
    decoder: { type: "Sequence", decoders },
    model: {
      ...{ type: "BPE", vocab, merges, fuse_unk: true, byte_fallback: true },
      unk_token: unknown === undefined ? null : textAt(tokens, unknown),
    },
  };
}

function scoredMerges(file: Metadata, vocab: Vocabulary, types: ArrayLike<number> | undefined): ScoredMerges {
  const scores = scoresOf(file, vocab.table.count);
  // User-defined runs of spaces are merged before anything else.
  const isRun = (id: number) => types?.[id] === PieceType.userDefined && /^▁+$/.test(vocab.token(id) as string);
  const ranked = scores.map((score, id) => (isRun(id) ? Number.POSITIVE_INFINITY : score));
  const mergeable = (id: number) => !types || types[id] === PieceType.normal || ranked[id] === Number.POSITIVE_INFINITY;
  return new ScoredMerges(vocab, ranked, mergeable);
}

function scoresOf(file: Metadata, count: number): Float32Array<ArrayBuffer> {
  const found = file.numbers("scores", count);
  if (!isOf("Float32Array", found)) return file.fail("scores", "an array of f32", found ? "other numbers" : "none");
  const scores = found as Float32Array<ArrayBuffer>;
  const odd = scores.findIndex((score) => !Number.isFinite(score));
  return odd < 0 ? scores : file.fail("scores", "finite numbers", `${scores[odd]} (token ${odd})`);
}

/** Merges as "a b", which are cut at the first space that is not the first character. */
function mergeList(file: Metadata, vocab: Vocabulary): MergeList {
  const table = file.strings("merges");
  const { count, bytes, offsets } = table;
  const merges = new MergeList(vocab, count);
  for (let i = 0; i < count; i++) {
    const [start, end] = [offsets[i] as number, offsets[i + 1] as number];
    let space = start + 1;
    while (space < end && bytes[space] !== 0x20) space++;
    if (space >= end - 1 || !merges.add(bytes, start, space, space + 1, end)) {
      file.fail(`merges: ${i}`, '"a b", where ab is a token', JSON.stringify(textAt(table, i)));
    }
  }
  return merges.complete();
}

function preOf(file: Metadata): GgufPre {
  const pre = file.text("pre");
  const known = pre === undefined ? undefined : GGUF_PRE.get(pre);
  const found = pre ?? "nothing (an old file: convert the model anew)";
  return known ?? file.fail("pre", `one of ${[...GGUF_PRE.keys()].join(", ")}`, found);
}

function byteLevel({ file, tokens }: Parts, { steps, ignoreMerges, nfc }: GgufPre): Json {
  const vocab = new Vocabulary(tokens);
  const level = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  const levels = steps.some(({ type }) => type === "ByteLevel") ? [] : [level];
  return {
    normalizer: nfc ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...steps, ...levels] },
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: mergeList(file, vocab), ignore_merges: ignoreMerges ?? false },
  };
}

/** llama.cpp's converter marks the words that start with "▁" where WordPiece marks those that continue one with "##". */
function wordPiece({ file, tokens, types }: Parts): Json {
  const words = Array.from({ length: tokens.count }, (_, id) => {
    const token = textAt(tokens, id);
    if (types?.[id] === PieceType.control || /^\[.*\]$/s.test(token)) return token;
    return token.startsWith(MARK) ? token.slice(MARK.length) : `##${token}`;
  });
  const lowercase = file.flag("normalizer.lowercase") ?? true;
  return {
    normalizer: { type: "BertNormalizer", lowercase, strip_accents: file.flag("normalizer.strip_accents") ?? null },
    pre_tokenizer: { type: "BertPreTokenizer" },
    decoder: { type: "WordPiece" },
    model: { type: "WordPiece", vocab: Vocabulary.from(words) },
  };
}

/** SentencePiece's Unigram. */
function unigram({ file, tokens }: Parts): Json {
  const charsmap = file.bytes("precompiled_charsmap");
  const normalizers = [
    ...(charsmap?.length ? [{ type: "Precompiled", precompiled_charsmap: charsmap }] : []),
    ...(file.flag("remove_extra_whitespaces") ? [{ type: "Replace", pattern: { Regex: " {2,}" }, content: " " }] : []),
  ];
  const prepend_scheme = (file.flag("add_space_prefix") ?? true) ? "always" : "never";
  const metaspace = { type: "Metaspace", replacement: MARK, prepend_scheme };
  const vocab: ScoredTokens = { table: tokens, scores: scoresOf(file, tokens.count) };
  return {
    normalizer: { type: "Sequence", normalizers },
    pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, metaspace] },
    decoder: metaspace,
    model: { type: "Unigram", vocab, unk_id: file.id("unknown", tokens.count) ?? null },
  };
}

/** The keys of a tokenizer, checked. */
class Metadata {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #name: string;

  constructor(values: ReadonlyMap<string, unknown>, name: string) {
    this.#values = values;
    this.#name = name;
  }

  fail(key: string, expected: string, found: unknown): never {
    throw new ModelError(mismatch(`${this.#name}: ${PREFIX}${key}`, expected, found));
  }

  text(key: string): string | undefined {
    const value = this.#values.get(PREFIX + key);
    if (value === undefined || typeof value === "string") return value;
    return this.fail(key, "a string", value);
  }

  flag(key: string): boolean | undefined {
    const value = this.#values.get(PREFIX + key);
    if (value === undefined || typeof value === "boolean") return value;
    return this.fail(key, "true or false", value);
  }

  strings(key: string): StringTable {
    const value = this.#values.get(PREFIX + key);
    const isTable = typeof value === "object" && value !== null && "offsets" in value;
    return isTable ? (value as StringTable) : this.fail(key, "an array of strings", value ?? "nothing");
  }

  bytes(key: string): Uint8Array | undefined {
    const value = this.#values.get(PREFIX + key);
    if (value === undefined) return undefined;
    if (isOf("Uint8Array", value)) return value as Uint8Array;
    return isOf("Int8Array", value)
      ? new Uint8Array((value as Int8Array).buffer)
      : this.fail(key, "an array of bytes", typeof value);
  }

  /** As many numbers as there are tokens; undefined if the key is missing. */
  numbers(key: string, count: number): ArrayLike<number> | undefined {
    const value = this.#values.get(PREFIX + key);
    if (value === undefined) return undefined;
    const numbers =
      ArrayBuffer.isView(value) && "length" in value ? (value as unknown as ArrayLike<number>) : undefined;
    if (typeof numbers?.[0] !== "number") return this.fail(key, "an array of numbers", show(typeof value));
    return numbers.length === count ? numbers : this.fail(key, `${count} numbers, one for each token`, numbers.length);
  }

  /** The id of a special token; undefined if there is none. Converters write numbers that are no ids for none. */
  id(key: string, count: number): number | undefined {
    const name = `${key}_token_id`;
    const isSentencePiece = this.#values.get(`${PREFIX}model`) === "llama";
    const id = this.#values.get(PREFIX + name) ?? (isSentencePiece ? SENTENCE_PIECE[key] : undefined);
    if (id !== undefined && typeof id !== "number" && typeof id !== "bigint") return this.fail(name, "a number", id);
    return typeof id === "number" && Number.isInteger(id) && id >= 0 && id < count ? id : undefined;
  }

  /** `tokenizer.chat_template` and those with names behind it, as a tokenizer_config.json has them. */
  chatTemplates(): Json[] | undefined {
    const templates: Json[] = [];
    for (const [key, template] of this.#values) {
      if (typeof template !== "string") continue;
      if (key === TEMPLATE) templates.push({ name: "default", template });
      else if (key.startsWith(`${TEMPLATE}.`)) templates.push({ name: key.slice(TEMPLATE.length + 1), template });
    }
    return templates.length > 0 ? templates : undefined;
  }
}
