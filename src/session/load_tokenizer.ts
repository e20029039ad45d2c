import { ModelError, mismatch } from "../base/errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { decodeUtf8, isRecord, parseObject } from "../formats/json.ts";
import { AbsentTokenizer, ONLY_IDS, TOKENIZER_FILES } from "../tokenizer/absent.ts";
import { withOlderFiles } from "../tokenizer/config.ts";
import type { Converted } from "../tokenizer/convert.ts";
import { readTokenizerJson } from "../tokenizer/read_json.ts";
import { Tokenizer } from "../tokenizer/tokenizer.ts";

/** The files of a tokenizer, in a form that can be sent to another thread. */
export interface TokenizerFiles {
  /** Their location, as errors name it. */
  readonly name: string;
  /** Bytes by file name, of the files that exist and matter. */
  readonly bytes: ReadonlyMap<string, Uint8Array>;
  /** What a GGUF file says of its tokenizer, instead of files. */
  readonly gguf?: Checkpoint["tokenizer"];
  /** What config.json says about the tokenizer. */
  readonly modelType: unknown;
  readonly tokenizerClass: unknown;
  readonly vocabSize: unknown;
}

/**
 * The tokenizer's files of a checkpoint. Each is opened only if it still matters after those before it.
 * additional_chat_templates/ is not read, because directories cannot be listed everywhere.
 */
export async function tokenizerFiles(checkpoint: Checkpoint): Promise<TokenizerFiles> {
  const { name, config, tokenizer: gguf } = checkpoint;
  const { model_type: modelType, tokenizer_class: tokenizerClass, vocab_size: vocabSize } = config;
  const bytes = new Map<string, Uint8Array>();
  const files = { name, bytes, modelType, tokenizerClass, vocabSize };
  if (gguf) return { ...files, gguf };
  const read = async (...files: string[]) => {
    const found = await Promise.all(files.map((file) => checkpoint.bytes(file)));
    for (const [i, file] of files.entries()) if (found[i]) bytes.set(file, found[i]);
    return found.every((file) => file !== undefined);
  };
  await read("tokenizer.json", "tokenizer_config.json");
  if (!settles(bytes, name)) await read("special_tokens_map.json", "added_tokens.json");
  if (!(await read("chat_template.jinja"))) await read("chat_template.json");
  if (!bytes.has("tokenizer.json") && !(await read("tokenizer.model"))) await read("vocab.json", "merges.txt");
  return files;
}

/** Whether tokenizer_config.json itself says which tokens are special; see withOlderFiles. */
function settles(bytes: ReadonlyMap<string, Uint8Array>, name: string): boolean {
  const file = "tokenizer_config.json";
  const found = bytes.get(file);
  const path = `${name}/${file}`;
  return found !== undefined && isRecord(parseObject(decodeUtf8(found, path), path).added_tokens_decoder);
}

/** Whether these files make a tokenizer. */
function suffices({ bytes, gguf }: TokenizerFiles): boolean {
  if (gguf) return gguf.has("tokenizer.ggml.tokens");
  return (
    bytes.has("tokenizer.json") || bytes.has("tokenizer.model") || (bytes.has("vocab.json") && bytes.has("merges.txt"))
  );
}

/** The tokenizer made from these files; an AbsentTokenizer if there is none among them. */
export async function tokenizerOf(files: TokenizerFiles): Promise<Tokenizer> {
  const { name, bytes, vocabSize, gguf } = files;
  if (!suffices(files)) {
    return new AbsentTokenizer(name, Number.isInteger(vocabSize) && Number(vocabSize) > 0 ? Number(vocabSize) : 1);
  }
  if (gguf) {
    const { json, config } = (await import("../tokenizer/gguf.ts")).fromGguf(gguf, name);
    return new Tokenizer(json, config, name);
  }
  const text = (file: string) => {
    const found = bytes.get(file);
    return found && decodeUtf8(found, `${name}/${file}`);
  };
  const object = (file: string) => {
    const found = text(file);
    return found === undefined ? undefined : parseObject(found, `${name}/${file}`);
  };
  const chatTemplate = text("chat_template.jinja");
  const file = bytes.get("tokenizer.json");
  const json = file && readTokenizerJson(file, `${name}/tokenizer.json`);
  const { chat_template, ...config } = withOlderFiles(
    object("tokenizer_config.json") ?? {},
    {
      specialTokensMap: object("special_tokens_map.json"),
      addedTokens: object("added_tokens.json"),
      chatTemplate: object("chat_template.json"),
    },
    json?.added_tokens,
  );
  // chat_template.jinja takes precedence over every other template, also over those of other names.
  const settings = chatTemplate === undefined ? { ...config, chat_template } : config;
  if (json) return new Tokenizer(json, settings, `${name}/tokenizer.json`, { chatTemplate });
  const source = bytes.has("tokenizer.model") ? "tokenizer.model" : "vocab.json";
  const converted = await convert(files, settings, object("vocab.json") ?? {}, text("merges.txt") ?? "");
  return new Tokenizer(converted.json, converted.config, `${name}/${source}`, { chatTemplate });
}

async function convert(
  files: TokenizerFiles,
  config: Record<string, unknown>,
  vocab: object,
  merges: string,
): Promise<Converted> {
  const { name, bytes, modelType, tokenizerClass } = files;
  const naming = { modelType, tokenizerClass: config.tokenizer_class ?? tokenizerClass };
  const model = bytes.get("tokenizer.model");
  const { fromSentencePiece, fromVocabulary } = await import("../tokenizer/convert.ts");
  if (!model) return fromVocabulary({ ...vocab }, merges, config, naming, name);
  const { readSentencePiece } = await import("../tokenizer/sentencepiece.ts");
  return fromSentencePiece(readSentencePiece(model, `${name}/tokenizer.model`), config, naming, name);
}

/** The tokenizer of a checkpoint; undefined if it has none. */
export async function loadTokenizer(checkpoint: Checkpoint): Promise<Tokenizer | undefined> {
  const files = await tokenizerFiles(checkpoint);
  return suffices(files) ? tokenizerOf(files) : undefined;
}

/** As loadTokenizer. Throws ModelError naming the missing files if there is none. */
export async function requireTokenizer(checkpoint: Checkpoint): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(checkpoint);
  if (tokenizer) return tokenizer;
  throw new ModelError(mismatch(checkpoint.name, TOKENIZER_FILES, ONLY_IDS));
}
