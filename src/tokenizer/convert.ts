/**
 * Tokenizers without tokenizer.json in the form of one: a SentencePiece model (tokenizer.model), or vocab.json and
 * merges.txt. What is not in these files follows from the class that tokenizer_config.json or the model_type names, as in
 * transformers 5. see: HF models/*\/tokenization_*.py, convert_slow_tokenizer.py SpmConverter
 */
import { ModelError, mismatch } from "../base/errors.ts";
import { isRecord } from "../formats/json.ts";
import { escapeRegExp } from "./pattern.ts";
import { PieceType, type SentencePiece } from "./sentencepiece.ts";

type Json = Record<string, unknown>;

/** A tokenizer.json and a tokenizer_config.json, parsed. */
export interface Converted {
  readonly json: Json;
  readonly config: Json;
}

/** Keys that name a class. */
interface Naming {
  readonly modelType: unknown;
  readonly tokenizerClass: unknown;
}

/** The class that transformers uses for a model_type with a class of its own. */
const OF_MODEL: Readonly<Record<string, string>> = {
  gptj: "GPT2Tokenizer",
  mistral: "TokenizersBackend",
  mpt: "GPTNeoXTokenizer",
  qwen2: "Qwen2Tokenizer",
};
/** Names of transformers' class that reads any file. */
const GENERIC = ["TokenizersBackend", "PreTrainedTokenizer", "PythonBackend"];
const ENDOFTEXT = "<|endoftext|>";
/** Classes of byte-level BPE, with their special tokens. */
const BYTE_LEVEL: Readonly<Record<string, Json>> = {
  GPT2Tokenizer: { unk_token: ENDOFTEXT, bos_token: ENDOFTEXT, eos_token: ENDOFTEXT },
  GPTNeoXTokenizer: { unk_token: ENDOFTEXT, bos_token: ENDOFTEXT, eos_token: ENDOFTEXT, pad_token: "<|padding|>" },
  Qwen2Tokenizer: { unk_token: ENDOFTEXT, eos_token: ENDOFTEXT, pad_token: ENDOFTEXT },
};
/** Classes of SentencePiece models. The generic one has only the file's special tokens. */
const LLAMA = { unk_token: "<unk>", bos_token: "<s>", eos_token: "</s>" };
const INFILLING = ["▁<PRE>", "▁<MID>", "▁<SUF>", "▁<EOT>", "<FILL_ME>"];
const SENTENCE_PIECE: Readonly<Record<string, Json>> = {
  LlamaTokenizer: LLAMA,
  CodeLlamaTokenizer: { ...LLAMA, add_bos_token: true, additional_special_tokens: INFILLING },
  GemmaTokenizer: {
    ...{ unk_token: "<unk>", bos_token: "<bos>", eos_token: "<eos>" },
    ...{ pad_token: "<pad>", mask_token: "<mask>" },
  },
};
const QWEN2_WORDS =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The class that transformers' AutoTokenizer would use, without "Fast"; "TokenizersBackend" if it knows none. */
function tokenizerClass({ modelType, tokenizerClass: named }: Naming): string {
  const own = typeof modelType === "string" ? OF_MODEL[modelType] : undefined;
  const given = typeof named === "string" ? named.replace(/Fast$/, "") : undefined;
  // Qwen2's published configs name wrong ones, Mistral's name LLaMA's.
  const chosen = own !== undefined && (modelType === "qwen2" || modelType === "mistral") ? own : (given ?? own);
  return chosen === undefined || GENERIC.includes(chosen) ? "TokenizersBackend" : chosen;
}

/**
 * Of vocab.json and merges.txt.
 * @throws ModelError naming the class, if it is none of byte-level BPE
 */
export function fromVocabulary(vocab: Json, merges: string, config: Json, naming: Naming, name: string): Converted {
  const type = tokenizerClass(naming);
  if (!Object.hasOwn(BYTE_LEVEL, type)) {
    const expected = `one of ${Object.keys(BYTE_LEVEL).join(", ")} beside vocab.json and merges.txt`;
    throw new ModelError(mismatch(`${name}: tokenizer_class`, expected, naming.tokenizerClass ?? "nothing"));
  }
  const add_prefix_space = config.add_prefix_space === true;
  const words = { type: "ByteLevel", add_prefix_space, use_regex: true };
  const qwen2Words = { type: "Split", pattern: { Regex: QWEN2_WORDS }, behavior: "Isolated", invert: false };
  const json = {
    normalizer: type === "GPT2Tokenizer" ? null : { type: "NFC" },
    pre_tokenizer:
      type === "Qwen2Tokenizer"
        ? { type: "Sequence", pretokenizers: [qwen2Words, { ...words, use_regex: false }] }
        : words,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: merges.replace(/\r?\n$/, "").split(/\r?\n/) },
  };
  return { json, config: { ...BYTE_LEVEL[type], ...config } };
}

/**
 * Of a SentencePiece model.
 * @throws ModelError naming the class, if it reads no such file
 */
export function fromSentencePiece(model: SentencePiece, config: Json, naming: Naming, name: string): Converted {
  const type = tokenizerClass(naming);
  if (Object.hasOwn(BYTE_LEVEL, type)) {
    throw new ModelError(mismatch(`${name}: tokenizer_class`, "one that reads a tokenizer.model", type));
  }
  const own = Object.hasOwn(SENTENCE_PIECE, type) ? SENTENCE_PIECE[type] : undefined;
  const texts = own ? model.pieces.map(({ text }) => text) : renamed(model, config);
  const vocab = Object.fromEntries(texts.map((text, id) => [text, id]));
  const parts = own ? ofClass(type, config) : generic(model, texts, config);
  const unknown = own ? own.unk_token : model.unknown;
  // LLaMA's own class drops characters without a token.
  const unk_token = type !== "LlamaTokenizer" && texts.includes(unknown as string) ? unknown : null;
  // The file's list replaces additional_special_tokens; extra_special_tokens replace both.
  const { additional_special_tokens: _, ...rest } = config;
  const listed = "extra_special_tokens" in config && !isRecord(config.extra_special_tokens);
  const isAdded = (kind: number) =>
    !listed && (kind === PieceType.control || (own !== undefined && kind === PieceType.userDefined));
  const added_tokens = model.pieces.flatMap(({ type: kind }, id) =>
    isAdded(kind) ? [{ id, content: texts[id], special: kind === PieceType.control, normalized: false }] : [],
  );
  return {
    json: {
      ...parts,
      added_tokens,
      model: { type: "BPE", vocab, merges: mergesOf(model, texts, !own), unk_token, fuse_unk: true, ...parts.model },
    },
    config: { ...(own ?? model.named), ...(own || !model.addDummyPrefix ? rest : inRawText(rest)) },
  };
}

const SPACES = { type: "Replace", pattern: { String: " " }, content: "▁" };
const UNDERLINES = { type: "Replace", pattern: { String: "▁" }, content: " " };
const FIRST_SPACE = { type: "Strip", content: " ", start: 1, stop: 0 };
const sequence = (key: string, steps: readonly unknown[]) => ({ type: "Sequence", [key]: steps });

/** As the classes of LLaMA, Code Llama and Gemma read it: normalization is hard-coded, whatever the file says. */
function ofClass(type: string, config: Json) {
  const gemma = type === "GemmaTokenizer";
  const prefix = !gemma && config.add_prefix_space !== false;
  const always = type === "LlamaTokenizer" && config.legacy === true;
  const prepend_scheme = prefix ? (always ? "always" : "first") : "never";
  const strips = prefix || type === "CodeLlamaTokenizer";
  const bytes = [UNDERLINES, { type: "ByteFallback" }, { type: "Fuse" }];
  return {
    normalizer: gemma ? SPACES : null,
    pre_tokenizer: gemma
      ? { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false }
      : { type: "Metaspace", replacement: "▁", prepend_scheme, split: false },
    decoder: sequence("decoders", strips ? [...bytes, FIRST_SPACE] : bytes),
    model: { byte_fallback: true },
  };
}

/** As the file says. */
function generic(model: SentencePiece, texts: readonly string[], config: Json) {
  const { addDummyPrefix, byteFallback } = model;
  const legacy = config.legacy === undefined || config.legacy === true;
  const userDefined = texts.filter((_, id) => model.pieces[id]?.type === PieceType.userDefined);
  const replace = (Regex: string, content: string) => ({ type: "Replace", pattern: { Regex }, content });
  const normalizers = [
    ...(model.charsmap.length > 0 ? [{ type: "Precompiled", precompiled_charsmap: model.charsmap }] : []),
    ...(model.removeExtraWhitespaces ? [replace("\\A +| +\\z", ""), replace(" {2,}", " ")] : []),
    ...(model.escapeWhitespaces ? [SPACES] : []),
    // Metaspace adds nothing to a text that starts with "▁", SentencePiece does.
    ...(addDummyPrefix && legacy ? [replace("\\A▁", "▁▁")] : []),
  ];
  const longestFirst = userDefined.toSorted((a, b) => [...b].length - [...a].length);
  const cut = { Regex: longestFirst.map(escapeRegExp).join("|") };
  const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: legacy ? "always" : "first", split: false };
  const pretokenizers = [
    ...(addDummyPrefix ? [metaspace] : []),
    ...(userDefined.length > 0 ? [{ type: "Split", pattern: cut, behavior: "Isolated", invert: false }] : []),
  ];
  const decoders = [
    UNDERLINES,
    ...(byteFallback ? [{ type: "ByteFallback" }] : []),
    ...(addDummyPrefix || byteFallback ? [{ type: "Fuse" }] : []),
    ...(addDummyPrefix ? [FIRST_SPACE] : []),
  ];
  return {
    normalizer: sequence("normalizers", normalizers),
    pre_tokenizer: pretokenizers.length > 0 ? sequence("pretokenizers", pretokenizers) : null,
    decoder: sequence("decoders", decoders),
    model: { byte_fallback: byteFallback, ignore_merges: userDefined.length > 0 },
  };
}

/**
 * The merges that the pieces imply: every way to split one into two others, in the order of the whole piece, then of
 * the length of its left part. `byScore`: only normal pieces count, and the best score comes first; otherwise ids
 * determine the order.
 */
function mergesOf({ pieces }: SentencePiece, vocab: readonly string[], byScore: boolean): [string, string][] {
  const found: { score: number; merge: [string, string] }[] = [];
  const counts = (id: number) => !byScore || pieces[id]?.type === PieceType.normal;
  const known = new Set(vocab.filter((_, id) => counts(id)));
  for (const [id, { score }] of pieces.entries()) {
    const text = vocab[id] as string;
    let at = 0;
    for (const char of counts(id) ? text : "") {
      at += char.length;
      const merge: [string, string] = [text.slice(0, at), text.slice(at)];
      if (merge.every((part) => known.has(part))) found.push({ score, merge });
    }
  }
  if (byScore) found.sort((a, b) => b.score - a.score);
  return found.map(({ merge }) => merge);
}

/**
 * The texts of the pieces by id. If tokenizer_config.json gives a piece another text, that is used, unless it is the
 * text of another piece that keeps its id.
 */
function renamed({ pieces }: SentencePiece, config: Json): string[] {
  const decoder = isRecord(config.added_tokens_decoder) ? config.added_tokens_decoder : {};
  const names = pieces.map((_, id) => {
    const token = Object.hasOwn(decoder, id) ? decoder[id] : undefined;
    return isRecord(token) && typeof token.content === "string" ? token.content : undefined;
  });
  const kept = new Set(pieces.filter((_, id) => names[id] === undefined).map(({ text }) => text));
  return pieces.map(({ text }, id) => {
    const name = names[id];
    return name === undefined || kept.has(name) ? text : name;
  });
}

/** Added tokens are matched in the raw text, so that each section between them gets a prefix of its own. */
function inRawText(config: Json): Json {
  if (!isRecord(config.added_tokens_decoder)) return config;
  const tokens = Object.entries(config.added_tokens_decoder).map(([id, token]) => [
    id,
    isRecord(token) ? { ...token, normalized: false } : token,
  ]);
  return { ...config, added_tokens_decoder: Object.fromEntries(tokens) };
}
