/** What these tests share: tiny checkpoints that have a tokenizer, in folders of their own, and one-line errors. */
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LambentError, type LoadOptions, load, type Model, type Session } from "../../src/entry/index.ts";
import { BYTE_CHARS } from "../../src/tokenizer/bytelevel.ts";
import { FIXTURES, MODELS } from "../setup.ts";

export { FAMILIES } from "../setup.ts";
export const EMBEDDED = join(MODELS, "lambent-llama-5m");
export const BOS = 1;
export const EOS = 2;

/**
 * The texts of the fixtures' 61 tokens but the last, which stands for nothing, as characters up to U+00FF for their bytes:
 * letters, words that overlap, and many a piece of é, € and 😀, so that random tokens often end inside of a character.
 */
const TEXTS = [
  ...["<pad>", "<s>", "</s>", ..."abcdefghijklmno .\n"],
  ...["ab", "ba", "abc", "cab", "aa", "no", "on", " a", "the", " the", "and", "\u00c3\u00a9", "\u00e2\u0082\u00ac"],
  ...["\u00c3", "\u00a9", "\u00e2", "\u0082", "\u00ac", "\u00e2\u0082", "\u0082\u00ac", "\u00f0", "\u009f", "\u0098"],
  ...["\u0080", "\u00f0\u009f", "\u00f0\u009f\u0098", "\u009f\u0098\u0080", "\u0098\u0080", "a\u00c3", "\u00a9b"],
  ...["b\u00e2\u0082", "\u00acc", "n\u00f0\u009f", "\u0098\u0080o", "\u00a9\u00c3", "\u00ac\u00e2", "o\u00f0"],
  ...["\u0080\u00e2", "\u00f0\u009f\u0098\u0080"],
];

const SPECIAL = [0, BOS, EOS].map((id) => ({ id, content: TEXTS[id], special: true, normalized: false }));

const TOKENIZER = {
  added_tokens: SPECIAL,
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: false },
  post_processor: null,
  decoder: { type: "ByteLevel" },
  model: {
    type: "BPE",
    vocab: Object.fromEntries(TEXTS.map((text, id) => [id > EOS ? byteChars(text) : text, id])),
    merges: [],
  },
};

function byteChars(text: string): string {
  return [...text].map((char) => BYTE_CHARS[char.charCodeAt(0)]).join("");
}

const temporary: string[] = [];

/** An empty folder, until removeTemporary. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lambent-test-"));
  temporary.push(folder);
  return folder;
}

export function removeTemporary(): void {
  for (const folder of temporary.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** A folder with a fixture, a tokenizer for it and this generation_config.json. */
export function smallFolder(fixture: string, generationConfig: object = {}): string {
  const folder = temporaryFolder();
  cpSync(join(FIXTURES, fixture), folder, { recursive: true });
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(TOKENIZER));
  writeFileSync(join(folder, "generation_config.json"), JSON.stringify(generationConfig));
  return folder;
}

/** A folder with the embedded model and another tokenizer_config.json. */
export function embeddedFolder(tokenizerConfig: object): string {
  const folder = temporaryFolder();
  for (const file of ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"]) {
    symlinkSync(join(EMBEDDED, file), join(folder, file));
  }
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify(tokenizerConfig));
  return folder;
}

/** A tiny model whose window is 8 tokens by default, on one thread: two meet three times as long as they compute. */
export function small(fixture: string, options: LoadOptions = {}, generationConfig: object = {}): Promise<Model> {
  return load(smallFolder(fixture, generationConfig), { nLocal: 8, nGlobal: 3, threads: 1, ...options });
}

/** A sampling under which the tiny models say almost anything. */
export const WILD = { doSample: true, temperature: 4, topK: 0 } as const;

/** The error of `type` that `action` ends in, whose message is checked to be one line; any other end is a failure. */
export async function failure(
  type: new (...parts: never[]) => LambentError,
  action: () => unknown,
): Promise<LambentError> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof type)) throw error;
    if (!/^[^\n\r\u2028\u2029]+$/.test(error.message)) throw new Error(`not one line: ${error.message}`);
    return error;
  }
  throw new Error("no error");
}

/** Opens sessions until the model has no more room, and closes them; their number. */
export async function freeSlots(model: Model): Promise<number> {
  const sessions: Session[] = [];
  try {
    for (;;) sessions.push(await model.session());
  } catch (error) {
    if (!/at most \d+ open at once/.test((error as Error).message)) throw error;
  }
  for (const session of sessions) session.dispose();
  return sessions.length;
}
