import { ModelError, mismatch, show } from "../base/errors.ts";
import type { RowRange } from "../base/rows.ts";
import { type ByteSource, closeAll, type Files, versionOf } from "../base/source.ts";
import type { GgufValue } from "./gguf.ts";
import { decodeUtf8, isRecord, parseObject } from "./json.ts";
import { readSafetensors, type TensorInfo } from "./safetensors.ts";

/** A tensor and the file that contains it. */
export interface StoredTensor extends TensorInfo {
  readonly source: ByteSource;
  /** Where its rows, in Hugging Face's order, are in the file; undefined: in this order. */
  readonly rows?: readonly RowRange[] | undefined;
  /** What the file has added to Hugging Face's numbers: 1 where it stores a norm's 1 + w; 0 by default. */
  readonly added?: number | undefined;
}

/** Two matrices beside a projection of a model: to W · x is added factor · B · (A · x). */
export interface AdapterPair {
  /** The projection's name in the model, without ".weight". */
  readonly module: string;
  /** A [rank, inputs] and B [outputs, rank]. */
  readonly a: StoredTensor;
  readonly b: StoredTensor;
  readonly factor: number;
}

/** A stored adapter (LoRA). */
export interface Adapter {
  readonly name: string;
  readonly pairs: readonly AdapterPair[];
  /** Identifies its content; undefined if unknown. */
  readonly version: string | undefined;
  close(): Promise<void>;
}

/** The file that says how a model looks back (session/calibration.ts): in its folder, or with the name of its GGUF file before it. */
export const RECALL_FILE = "recall.json";

/** Where that file of a model is, by the model's own name. */
export function recallFileOf(model: string): string {
  return /\.gguf$/i.test(model) ? `${model}.${RECALL_FILE}` : `${model}/${RECALL_FILE}`;
}

/** A stored model, whatever its files: code above this knows no file format. */
export interface Checkpoint {
  readonly name: string;
  /** The name of its config in errors. */
  readonly configName: string;
  /** As in Hugging Face's config.json. */
  readonly config: Record<string, unknown>;
  /** Empty if there is no generation_config.json. */
  readonly generationConfig: Record<string, unknown>;
  /** By Hugging Face name, in byte order, file after file. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Identifies the content of all weight files together; undefined if unknown for one of them. */
  readonly version: string | undefined;
  /** What a GGUF file says of its tokenizer: metadata by key, tokenizer.ggml.tokens and so on. */
  readonly tokenizer?: ReadonlyMap<string, GgufValue> | undefined;
  /** What is added to the outputs of its projections. */
  readonly adapters?: readonly Adapter[] | undefined;
  /** The bytes of another file, such as tokenizer.json; undefined if it does not exist. A GGUF file has RECALL_FILE alone. */
  bytes(file: string): Promise<Uint8Array | undefined>;
  /** Closes every weight file. */
  close(): Promise<void>;
}

/** The part of a checkpoint that planning needs. */
export type CheckpointHeaders = Pick<Checkpoint, "name" | "configName" | "config" | "tensors" | "adapters">;

/** A directory has no weights that this format has names for. */
export class NoWeights extends ModelError {}

const CONFIG = "config.json";
const GENERATION_CONFIG = "generation_config.json";
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** Other formats of weights that a directory may contain, and what to do about them; never read. */
const FOREIGN = {
  "pytorch_model.bin": "convert it with save_pretrained of transformers",
  "pytorch_model.bin.index.json": "convert it with save_pretrained of transformers",
  "adapter_model.safetensors": "an adapter: merge it into its model with merge_and_unload of peft",
} as const;
const CONFIG_LIMIT = 10_000_000;
const INDEX_LIMIT = 100_000_000;
const FILE_LIMIT = 256_000_000;
/** A shard's path relative to its index: nothing that leaves the folder or has a meaning in a URL. */
const SHARD = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}(?:\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}){0,8}$/;

/**
 * Opens a checkpoint in the layout of Hugging Face transformers: configuration, and weights in one file or in shards.
 * Reads the configuration and every header; the weight files stay open for reading tensors.
 *
 * @throws NoWeights if there are none.
 */
export async function openDirectory(files: Files): Promise<Checkpoint> {
  const sources: ByteSource[] = [];
  try {
    const config = await readJson(files, CONFIG, CONFIG_LIMIT);
    const generationConfig = await readJson(files, GENERATION_CONFIG, CONFIG_LIMIT);
    const tensors = await openWeights(files, sources);
    if (config && tensors) return new Directory(files, config, generationConfig ?? {}, tensors, sources);
    throw await missing(files, config !== undefined, tensors !== undefined);
  } catch (error) {
    await Promise.allSettled(sources.map((source) => source.close()));
    throw error;
  }
}

class Directory implements Checkpoint {
  readonly name: string;
  readonly config: Record<string, unknown>;
  readonly generationConfig: Record<string, unknown>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly #files: Files;
  readonly #sources: readonly ByteSource[];

  constructor(
    files: Files,
    config: Record<string, unknown>,
    generationConfig: Record<string, unknown>,
    tensors: ReadonlyMap<string, StoredTensor>,
    sources: readonly ByteSource[],
  ) {
    this.name = files.name;
    this.config = config;
    this.generationConfig = generationConfig;
    this.tensors = tensors;
    this.#files = files;
    this.#sources = sources;
  }

  get configName(): string {
    return `${this.name}/${CONFIG}`;
  }

  get version(): string | undefined {
    return versionOf(this.#sources);
  }

  async bytes(file: string): Promise<Uint8Array | undefined> {
    return (await readBytes(this.#files, file, FILE_LIMIT))?.bytes;
  }

  async close(): Promise<void> {
    await closeAll(this.#sources);
  }
}

/**
 * The tensors of all weight files, whose sources are added to `sources` as they are opened; undefined if there are no
 * weights.
 */
async function openWeights(files: Files, sources: ByteSource[]): Promise<Map<string, StoredTensor> | undefined> {
  const tensors = new Map<string, StoredTensor>();
  // In this order, as in transformers: an index is ignored if the single file exists.
  const single = await files.open(WEIGHTS);
  if (single) {
    sources.push(single);
    await addTensors(single, tensors);
    return tensors;
  }
  const index = await readFile(files, INDEX, INDEX_LIMIT);
  if (!index) return undefined;
  for (const shard of shardNames(index.text, index.name)) {
    const source = await files.open(shard);
    if (!source) throw new ModelError(mismatch(index.name, `shard ${shard} in the same folder`, "no such file"));
    sources.push(source);
    await addTensors(source, tensors);
  }
  return tensors;
}

async function addTensors(source: ByteSource, tensors: Map<string, StoredTensor>): Promise<void> {
  for (const info of (await readSafetensors(source)).tensors.values()) {
    // If two shards contain it, the last one counts, as in transformers; the map is in byte order.
    tensors.delete(info.name);
    tensors.set(info.name, { ...info, source });
  }
}

/**
 * The shards of an index, sorted. Their headers say which tensors they contain, as in transformers: an index may name
 * tensors that no shard has, omit some, or name the wrong shard.
 */
function shardNames(text: string, name: string): string[] {
  const { weight_map: weightMap } = parseObject(text, name);
  const thing = `${name}: weight_map`;
  if (!isRecord(weightMap)) throw new ModelError(mismatch(thing, "an object of file names", weightMap));
  const shards = new Set<string>();
  for (const [tensor, shard] of Object.entries(weightMap)) {
    if (typeof shard !== "string" || !SHARD.test(shard))
      throw new ModelError(mismatch(`${thing}: ${show(tensor)}`, "a plain file name", shard));
    shards.add(shard);
  }
  if (shards.size === 0) throw new ModelError(mismatch(thing, "at least one tensor", "none"));
  return [...shards].sort();
}

/** The error for a directory that is not a checkpoint, or not a readable one. */
async function missing(files: Files, config: boolean, weights: boolean): Promise<ModelError> {
  if (weights)
    return new ModelError(mismatch(files.name, `${CONFIG} in the same folder as the weights`, "no such file"));
  let found = config ? "neither" : `none of them, nor ${CONFIG} (is this a Hugging Face checkpoint?)`;
  for (const [file, advice] of Object.entries(FOREIGN)) {
    const source = await files.open(file);
    await source?.close();
    if (source) found = `${file} (${advice})`;
  }
  return new NoWeights(mismatch(files.name, `${WEIGHTS} or ${INDEX}`, found));
}

/** A JSON object in a file of at most `limit` bytes; undefined if there is no such file. */
export async function readJson(
  files: Files,
  file: string,
  limit: number,
): Promise<Record<string, unknown> | undefined> {
  const found = await readFile(files, file, limit);
  return found && parseObject(found.text, found.name);
}

/** A file's text, and its name in errors. */
async function readFile(
  files: Files,
  file: string,
  limit: number,
): Promise<{ name: string; text: string } | undefined> {
  const found = await readBytes(files, file, limit);
  return found && { name: found.name, text: decodeUtf8(found.bytes, found.name) };
}

/** The bytes of a file of at most `limit`; undefined if there is none. */
export async function readBytes(
  files: Files,
  file: string,
  limit: number,
): Promise<{ name: string; bytes: Uint8Array } | undefined> {
  const source = await files.open(file);
  if (!source) return undefined;
  try {
    const { name, size } = source;
    if (size > limit) throw new ModelError(mismatch(name, `at most ${limit} bytes`, size));
    const bytes = new Uint8Array(size);
    await source.readInto(bytes, 0);
    return { name, bytes };
  } finally {
    await source.close();
  }
}
