/** Real models as they lie on disk, copied into memory, to be damaged file by file. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError, mismatch } from "../../src/base/errors.ts";
import type { ByteSource, Files } from "../../src/base/source.ts";
import { memorySource, parseSafetensors } from "../../src/formats/safetensors.ts";
import { safetensors } from "../formats/files.ts";
import { FIXTURES, GGUF, MODELS } from "../setup.ts";
import { changed, type Json, ownConfig, ownJson } from "../tokenizer/files.ts";

/** A tensor as it is written: dtype, shape and offsets may be anything, `entry` replaces all of the header's words on it. */
export interface DraftTensor {
  name: string;
  dtype: unknown;
  shape: unknown;
  bytes: Uint8Array;
  offsets?: unknown;
  entry?: unknown;
}

/** What lies under a file's name: its bytes, or a directory. */
export type Content = Uint8Array | "directory";

/** A model as it was found. Kept as bytes: every Wasm memory that is made has the whole heap searched for garbage. */
export interface Base {
  readonly name: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Too large to be read thousands of times: it is only planned. */
  readonly planOnly: boolean;
}

const encode = (json: unknown) => new TextEncoder().encode(JSON.stringify(json));
const parse = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));
export const CONFIG = "config.json";
export const WEIGHTS = "model.safetensors";
export const INDEX = "model.safetensors.index.json";

/** A copy of a base with changes. Nothing of the base is ever written to. */
export class Draft {
  readonly base: Base;
  /** How it is to be loaded: the caller's options may be nonsense too. */
  options: Record<string, unknown> = {};
  readonly #json = new Map<string, Json>();
  readonly #weights = new Map<string, DraftTensor[]>();
  readonly #edits: ((files: Map<string, Content>) => void)[] = [];

  constructor(base: Base) {
    this.base = base;
  }

  /** A JSON file's value, to be changed in place; {} where the base has no such file. */
  json(file: string): Json {
    const bytes = this.base.files.get(file);
    const json = this.#json.get(file) ?? (bytes ? parse(bytes) : {});
    this.#json.set(file, json);
    return json;
  }

  /** Replaces a JSON file's value. */
  setJson(file: string, json: unknown): void {
    this.#json.set(file, json as Json);
  }

  /** The tensors of a weight file, to be changed in place; without a name, those of the first. Their bytes are shared. */
  tensors(file = this.weightFiles[0] as string): DraftTensor[] {
    const tensors = this.#weights.get(file) ?? readTensors(this.base.files.get(file) as Uint8Array, file);
    this.#weights.set(file, tensors);
    return tensors;
  }

  get weightFiles(): string[] {
    return [...this.base.files.keys()].filter((file) => file.endsWith(".safetensors"));
  }

  /** Changes files as bytes, after everything else. */
  edit(change: (files: Map<string, Content>) => void): void {
    this.#edits.push(change);
  }

  /** Whether a file was changed, as far as that can be said without comparing it. */
  touches(file: string): boolean {
    return this.#json.has(file) || this.#edits.length > 0;
  }

  render(): Map<string, Content> {
    const files = new Map<string, Content>(this.base.files);
    for (const [file, json] of this.#json) files.set(file, encode(json));
    for (const [file, tensors] of this.#weights) files.set(file, renderWeights(tensors));
    for (const edit of this.#edits) edit(files);
    return files;
  }
}

function readTensors(bytes: Uint8Array, file: string): DraftTensor[] {
  const { tensors } = parseSafetensors(bytes, file);
  return [...tensors.values()].map(({ begin, end, ...tensor }) => ({ ...tensor, bytes: bytes.subarray(begin, end) }));
}

function renderWeights(tensors: readonly DraftTensor[]): Uint8Array {
  let at = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes, offsets, entry }) => {
    const begin = at;
    at += bytes.length;
    const value = entry === undefined ? { dtype, shape, data_offsets: offsets ?? [begin, at] } : entry;
    return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
  });
  const file = safetensors(`{${entries.join(",")}}`, at);
  at = file.length - at;
  for (const { bytes } of tensors) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

/** The files as the runtime layer gives them. `current` counts what is open at the moment. */
export class DraftFiles implements Files {
  readonly name = "dir";
  current = 0;
  readonly #files: ReadonlyMap<string, Content>;

  constructor(files: ReadonlyMap<string, Content>) {
    this.#files = files;
  }

  async list(): Promise<string[]> {
    return [...this.#files.keys()];
  }

  async open(file: string): Promise<ByteSource | undefined> {
    const content = this.#files.get(file);
    if (content === undefined) return undefined;
    if (content === "directory") throw new ModelError(mismatch(`dir/${file}`, "a file", "a directory"));
    let open = true;
    this.current++;
    const close = async () => {
      if (open) this.current--;
      open = false;
    };
    return { ...memorySource(content, `dir/${file}`), close };
  }
}

/** A byte-level tokenizer of at most 61 tokens, which is what the smallest fixtures know. */
export function tinyTokenizer(): Json {
  const letters = [..."Ġabcdefghijklmnopqrstuvwxyzé.,!?"];
  const merges = ["Ġ t", "h e", "Ġ a", "i n", "Ġt he", "Ġ c", "a t", "Ġc at"].map((merge) => merge.split(" "));
  const tokens = ["<|endoftext|>", ...letters, ...merges.map((pair) => pair.join(""))];
  return changed(ownJson(), {
    "model.vocab": Object.fromEntries(tokens.map((token, id) => [token, id])),
    "model.merges": merges,
  });
}

/** What belongs to a model in a folder. */
const OURS = /^(config|generation_config|tokenizer|tokenizer_config)\.json$|^model.*\.safetensors(\.index\.json)?$/;

function readBase(directory: string, name: string, planOnly: boolean): Base {
  const folder = join(directory, name);
  const names = readdirSync(folder).filter((file) => OURS.test(file));
  const files = new Map(names.sort().map((file) => [file, new Uint8Array(readFileSync(join(folder, file)))]));
  return { name, files, planOnly };
}

const TEXT_SIDE = {
  "generation_config.json": { eos_token_id: 0, bos_token_id: 0, do_sample: true, temperature: 0.8, top_p: 0.95 },
  "tokenizer.json": tinyTokenizer(),
  "tokenizer_config.json": ownConfig(),
};

/** The fixtures: every family, number format and layout, each with a tiny tokenizer. */
export const FIXTURE_NAMES = readdirSync(FIXTURES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();
export const TINY: readonly Base[] = FIXTURE_NAMES.map((name) => {
  const base = readBase(FIXTURES, name, false);
  const side = Object.entries(TEXT_SIDE).map(([file, json]) => [file, encode(json)] as const);
  return { ...base, files: new Map([...base.files, ...side]) };
});
export const EMBEDDED: readonly Base[] = readdirSync(MODELS)
  .filter((name) => name.startsWith("lambent-"))
  .sort()
  .map((name) => readBase(MODELS, name, true));
export const SHARDED: readonly Base[] = TINY.filter(({ files }) => files.has(INDEX));

/** GGUF files of the fixtures; a split set is one model. */
export const GGUFS: readonly Base[] = [...new Set(readdirSync(GGUF).map((file) => file.replace(/-\d+-of-.*/, "")))]
  .filter((name) => /\.gguf$|^split$/.test(name))
  .sort()
  .map((name) => {
    const names = readdirSync(GGUF).filter((file) => file.startsWith(name) && file.endsWith(".gguf"));
    const files = new Map(names.sort().map((file) => [file, new Uint8Array(readFileSync(join(GGUF, file)))]));
    return { name, files, planOnly: false };
  });

/** A fresh copy of a fixture. */
export function draftOf(name: string): Draft {
  return new Draft([...TINY, ...EMBEDDED, ...GGUFS].find((base) => base.name === name) as Base);
}
