import { Size } from "../assembly/layout.ts";
import { Engine, type LoadingOptions } from "./engine.ts";
import { ModelError, mismatch, OptionError } from "./errors.ts";
import { Checkpoint } from "./formats/checkpoint.ts";
import { parseObject } from "./formats/json.ts";
import { type Kernels, loadKernels } from "./machine/kernels.ts";
import { readBandwidth } from "./machine/roofline.ts";
import { type Planned, planModel } from "./model/planning.ts";
import { withoutTiedCopies } from "./model/tied.ts";
import { detectRuntime } from "./runtime/index.ts";
import type { Runtime } from "./runtime/types.ts";
import type { Files } from "./source.ts";
import { Tokenizer } from "./tokenizer/tokenizer.ts";

export interface LoadOptions extends Omit<LoadingOptions, "onProgress" | "availableMemory"> {
  /** Branch, tag or commit of a Hugging Face id; main unless told. */
  readonly revision?: string | undefined;
  /** Only what is in the cache already. */
  readonly offline?: boolean | undefined;
  /** Where downloads are kept; Python's Hugging Face cache unless told. */
  readonly cacheDir?: string | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** Bytes of a download, then of the weights as they are read. */
export interface LoadProgress {
  readonly stage: "download" | "read";
  readonly loaded: number;
  readonly total: number;
}

/** Threads that are used unless told, at most: more are seldom all free. */
const DEFAULT_THREADS = 16;

const BUILDS = {
  single: ["single-relaxed", "single-plain"],
  shared: ["shared-relaxed", "shared-plain"],
} as const;
const kernels = new Map<keyof typeof BUILDS, Promise<Kernels>>();

/** The kernels of this process, compiled and tested once; those with shared memory have one pool of threads for all models. */
function processKernels(runtime: Runtime, kind: keyof typeof BUILDS): Promise<Kernels> {
  let promise = kernels.get(kind);
  if (!promise) {
    promise = loadKernels(runtime.kernels, BUILDS[kind], runtime.startThread);
    promise.catch(() => kernels.delete(kind));
    kernels.set(kind, promise);
  }
  return promise;
}

/** The number asked for, or one per core. Throws OptionError if it is not from 1 to MaxSlices. */
function threadsOf(options: LoadOptions, runtime: Runtime): number {
  const { threads = Math.min(runtime.cores, DEFAULT_THREADS) } = options;
  if (Number.isInteger(threads) && threads >= 1 && threads <= Size.MaxSlices) return threads;
  throw new OptionError(mismatch("threads", `a whole number from 1 to ${Size.MaxSlices}`, threads));
}

/** Kernels for as many threads as the options say; for one where memory cannot be shared. */
export async function chooseKernels(
  options: LoadOptions,
  runtime: Runtime,
): Promise<{ kernels: Kernels; threads: number }> {
  const threads = threadsOf(options, runtime);
  const single = () => processKernels(runtime, "single");
  return { kernels: await (threads === 1 ? single() : processKernels(runtime, "shared").catch(single)), threads };
}

/** The files of a model: a directory, a URL of one, or a Hugging Face id, which is downloaded. */
export async function findModel(where: string, options: LoadOptions, runtime: Runtime): Promise<Files> {
  if (await runtime.isDirectory(where)) return runtime.directory(where);
  const hub = where.match(/^https?:\/\/(?:www\.)?(?:huggingface\.co|hf\.co)\/([^/]+\/[^/]+)\/?$/);
  if (/^https?:\/\//.test(where) && !hub) return runtime.webDirectory(where, options.signal);
  const id = hub?.[1] ?? where;
  if (!(await runtime.isModelId(id)) || (await runtime.isFile(where))) {
    throw new OptionError(mismatch("model", "a directory, a URL or a Hugging Face id such as org/name", where));
  }
  const { revision, offline, cacheDir, signal, onProgress } = options;
  const directory = await runtime.downloadModel(id, {
    ...{ revision, offline, cacheDir, signal },
    onProgress: (loaded, total) => onProgress?.({ stage: "download", loaded, total }),
  });
  return runtime.directory(directory);
}

/** Opens a checkpoint, lends it to `work`, and closes it. */
export async function withCheckpoint<T>(
  where: string,
  options: LoadOptions,
  work: (checkpoint: Checkpoint, runtime: Runtime) => Promise<T>,
): Promise<T> {
  const runtime = await detectRuntime();
  const checkpoint = await Checkpoint.open(await findModel(where, options, runtime));
  try {
    return await work(checkpoint, runtime);
  } finally {
    await checkpoint.close();
  }
}

/** The engines of this process by what they were made of, as long as somebody uses them. */
const engines = new Map<string, WeakRef<Engine>>();

/**
 * The engine of a checkpoint; one for all who load the same local files with the same options, so that weights are in
 * memory once.
 */
export async function loadEngine(checkpoint: Checkpoint, runtime: Runtime, options: LoadOptions): Promise<Engine> {
  const { onProgress, signal, threads: _, ...rest } = options;
  const { kernels, threads } = await chooseKernels(options, runtime);
  signal?.throwIfAborted();
  for (const [key, engine] of engines) if (!engine.deref()) engines.delete(key);
  const { version, config } = checkpoint;
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  const key = JSON.stringify([
    version,
    config,
    kernels.build,
    threads,
    ...given.map((entry) => JSON.stringify(entry)).sort(),
  ]);
  const shared = version === undefined ? undefined : engines.get(key)?.deref();
  if (shared) return shared;
  const engine = await Engine.load(checkpoint, kernels, {
    ...rest,
    ...{ signal, threads, availableMemory: runtime.availableMemory() },
    onProgress: (loaded, total) => onProgress?.({ stage: "read", loaded, total }),
  });
  if (version !== undefined) engines.set(key, new WeakRef(engine));
  return engine;
}

/** What a model is made of and how much memory it will take, from its config and headers; reads no weight. */
export function inspect(where: string, options: LoadOptions = {}): Promise<Planned> {
  return withCheckpoint(where, options, async (checkpoint, runtime) => {
    threadsOf(options, runtime);
    return planModel(await withoutTiedCopies(checkpoint, await processKernels(runtime, "single")), options);
  });
}

/** Bytes per second that the threads of these options read from memory; see: readBandwidth. */
export async function measureReading(options: LoadOptions): Promise<{ threads: number; bytesPerSecond: number }> {
  const { kernels, threads } = await chooseKernels(options, await detectRuntime());
  return { threads, bytesPerSecond: await readBandwidth(kernels, threads) };
}

/** The tokenizer of a checkpoint; undefined if it has no tokenizer.json. */
export async function loadTokenizer(checkpoint: Checkpoint): Promise<Tokenizer | undefined> {
  const text = await checkpoint.text("tokenizer.json");
  if (text === undefined) return undefined;
  const name = `${checkpoint.name}/tokenizer.json`;
  const config = await checkpoint.text("tokenizer_config.json");
  const chatTemplate = await checkpoint.text("chat_template.jinja");
  const settings = config === undefined ? {} : parseObject(config, `${checkpoint.name}/tokenizer_config.json`);
  return new Tokenizer(parseObject(text, name), settings, name, { chatTemplate });
}

/** As loadTokenizer. Throws ModelError if there is none. */
export async function requireTokenizer(checkpoint: Checkpoint): Promise<Tokenizer> {
  const tokenizer = await loadTokenizer(checkpoint);
  if (tokenizer) return tokenizer;
  throw new ModelError(mismatch(checkpoint.name, "tokenizer.json", "none: only token ids can be used"));
}
