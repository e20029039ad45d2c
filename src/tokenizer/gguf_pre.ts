/**
 * tokenizer.ggml.pre: how byte-level tokenizers cut a text into words, by the name that llama.cpp has given to each way.
 * The expressions are those of the models' own tokenizer.json files.
 */
type Step = Readonly<Record<string, unknown>>;

/** How a tokenizer of that name differs from GPT-2's. */
export interface GgufPre {
  /** Pre-tokenizers, before the one that makes characters of bytes. */
  readonly steps: readonly Step[];
  /** A word that is a token is not merged. */
  readonly ignoreMerges?: boolean;
  /** Hugging Face's tokenizers of these models normalize, which the file does not say and llama.cpp does not do. */
  readonly nfc?: boolean;
  /** Whether BOS is added by default. */
  readonly addBos?: boolean;
}

const split = (Regex: string): Step => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });

const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const TAIL = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const REST = `${"| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"}${TAIL}`;
const DIGITS = split("\\p{N}");
const GPT2 = split("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");
const LLAMA3 = split(`${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}${REST}`);
const QWEN2 = split(`${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${REST}`);
const QWEN35 = split(
  `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${TAIL}`,
);
const [START, UPPER, LOWER] = [
  "[^\\r\\n\\p{L}\\p{N}]?",
  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]",
  "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]",
];
/** Words in which capitals start anew: `end` may follow each, `digits` stay together. */
const cased = (end: string, digits: string) =>
  split(
    `${START}${UPPER}*${LOWER}+${end}|${START}${UPPER}+${LOWER}*${end}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${TAIL}`,
  );
const O200K = cased(`${CONTRACTION}?`, "\\p{N}{1,3}");
const DEEPSEEK3 = [
  split("\\p{N}{1,3}"),
  split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
  split(
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" +
      `| ?[\\p{P}\\p{S}]+[\\r\\n]*|${TAIL}`,
  ),
];
const FALCON = [
  { type: "Punctuation", behavior: "Contiguous" },
  { type: "ByteLevel", add_prefix_space: false, use_regex: true },
  { type: "Digits", individual_digits: false },
  split("[0-9][0-9][0-9]"),
];

/** The same for all of these names. */
const each = (names: string, pre: GgufPre) => names.split(" ").map((name) => [name, pre] as const);

/** By name. */
export const GGUF_PRE: ReadonlyMap<string, GgufPre> = new Map([
  ...each("gpt-2 phi-2 jais", { steps: [GPT2] }),
  ...each("mpt olmo", { steps: [GPT2], nfc: true }),
  ...each("starcoder smollm refact command-r", { steps: [DIGITS, GPT2] }),
  ...each("llama-bpe llama3 llama-v3 falcon3 falcon-h1 lfm2", { steps: [LLAMA3], ignoreMerges: true, addBos: true }),
  ...each("smaug-bpe dbrx", { steps: [LLAMA3] }),
  ...each("qwen2 deepseek-r1-qwen", { steps: [QWEN2], nfc: true }),
  ...each("stablelm2", { steps: [QWEN2] }),
  ...each("qwen35", { steps: [QWEN35], nfc: true }),
  ...each("gpt-4o llama4", { steps: [O200K] }),
  ...each("tekken", { steps: [cased("", "\\p{N}")], ignoreMerges: true, addBos: true }),
  ...each("deepseek-v3", { steps: DEEPSEEK3 }),
  ...each("falcon", { steps: FALCON }),
]);
