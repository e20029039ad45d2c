import { mismatch, OptionError } from "../base/errors.ts";
import { isOf } from "../base/realm.ts";
import { type Files, withFile } from "../base/source.ts";
import { abortable } from "../base/tick.ts";
import { Engine, type LoadingOptions } from "../engine/engine.ts";
import type { Adapter, Checkpoint } from "../formats/checkpoint.ts";
import { openCheckpoint } from "../formats/open.ts";
import { readBandwidth } from "../machine/roofline.ts";
import { kernelParts } from "../plan/kernel_parts.ts";
import { type Planned, planCheckpoint } from "../plan/plan_checkpoint.ts";
import { currentRuntime } from "../runtime/index.ts";
import type { Runtime } from "../runtime/types.ts";
import { LocalService } from "../service/local.ts";
import type { EngineService } from "../service/types.ts";
import { tokenTable } from "../tokenizer/token_table.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { withCalibration } from "./calibration.ts";
import type { ChatStore } from "./chat.ts";
import { chooseKernels, type EngineOptions, locateKernels, threadsOf } from "./engine_info.ts";
import { type TokenizerFiles, tokenizerFiles, tokenizerOf } from "./load_tokenizer.ts";

/** How a model is found, planned and computed; docs/OPTIONS.md describes every option. */
export interface LoadOptions
  extends EngineOptions,
    Omit<LoadingOptions, "onProgress" | "availableMemory" | "threads" | "planned" | "logStore"> {
  /** Branch, tag or commit of a model on the hub; "main" by default. */
  readonly revision?: string | undefined;
  /** The GGUF file, the first of a split set, in the directory, the repository or the files. */
  readonly file?: string | undefined;
  /** Use only what is in the cache. */
  readonly offline?: boolean | undefined;
  /** Where downloads are kept; Python's Hugging Face cache by default. */
  readonly cacheDir?: string | undefined;
  /** Adapters (LoRA) that act beside the weights; none by default. */
  readonly lora?: readonly LoraOptions[] | undefined;
  /** Where `chat` and `respond` keep states: in so many bytes of memory, by default 256 MiB, or in a store of one's own. */
  readonly chatStore?: number | ChatStore | undefined;
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

/** An adapter, and how strongly it acts. */
export interface LoraOptions {
  /** A directory of PEFT, with adapter_config.json and adapter_model.safetensors, or a GGUF file; a URL of either, a Hugging Face id, or files. */
  readonly path: Where;
  /** 1, as trained, by default. */
  readonly scale?: number | undefined;
}

/** Bytes of a download, then of the weights that are read. */
export interface LoadProgress {
  readonly stage: "download" | "read";
  readonly loaded: number;
  readonly total: number;
}

/**
 * Where a model is: a directory or a GGUF file, a URL of either (in a page also a relative one that starts with "/" or
 * "."), a Hugging Face id, perhaps with a colon and what the name of a GGUF file says of its types
 * (`org/name:Q4_K_M`), or a source of files.
 */
export type Where = string | URL | Files;

/**
 * Whether a source of files was given rather than a name. Throws OptionError, which names `option`, for anything else,
 * such as an omitted argument.
 */
export function areFiles(where: Where, option = "model"): where is Files {
  if (typeof where === "object" && where && "open" in where) return true;
  if (typeof where === "string" || isOf("URL", where)) return false;
  throw new OptionError(mismatch(option, "a directory, a GGUF file, a URL, a Hugging Face id, or files", where));
}

/** The files of a model, or those of them that are needed, given directly or by name. */
export async function findModel(
  where: Where,
  options: LoadOptions,
  runtime: Runtime,
  only?: readonly string[],
): Promise<Files> {
  const { file } = options;
  if (file !== undefined && (typeof file !== "string" || file === ""))
    throw new OptionError(mismatch("file", "the name of a GGUF file", file === "" ? '""' : file));
  if (areFiles(where)) return withFile(where, file);
  const { revision, offline, cacheDir, signal, onProgress } = options;
  return runtime.find(`${where}`, {
    ...{ revision, file, only, offline, cacheDir, signal },
    onProgress: (loaded, total) => onProgress?.({ stage: "download", loaded, total }),
  });
}

/** Opens a checkpoint, passes it to `work`, and closes it. */
export async function withCheckpoint<T>(
  where: Where,
  options: LoadOptions,
  work: (checkpoint: Checkpoint, runtime: Runtime) => Promise<T>,
  runtime?: Runtime,
): Promise<T> {
  runtime ??= await currentRuntime();
  const opening = openAll(where, options, runtime);
  const checkpoint = await abortable(opening, options.signal).catch((error) => {
    opening.then((late) => late.close()).catch(() => {});
    throw error;
  });
  try {
    return await work(checkpoint, runtime);
  } finally {
    await checkpoint.close();
  }
}

/** The adapters that are asked for. Throws OptionError for what is none. */
function adaptersOf({ lora = [] }: LoadOptions): readonly LoraOptions[] {
  if (!Array.isArray(lora)) throw new OptionError(mismatch("lora", "a list of adapters", lora));
  for (const [i, adapter] of (lora as readonly LoraOptions[]).entries()) {
    areFiles(adapter?.path, `lora[${i}].path`);
    const { scale = 1 } = adapter;
    if (!Number.isFinite(scale)) throw new OptionError(mismatch(`lora[${i}].scale`, "a finite number", scale));
  }
  return lora;
}

/** Opens a checkpoint and its adapters. */
async function openAll(where: Where, options: LoadOptions, runtime: Runtime): Promise<Checkpoint> {
  const { offline, cacheDir, signal, onProgress } = options;
  const lora = adaptersOf(options);
  const checkpoint = await openCheckpoint(await findModel(where, options, runtime));
  if (lora.length === 0) return checkpoint;
  const { ADAPTER_FILES, openAdapter, withAdapters } = await import("../formats/adapter.ts");
  const adapters: Adapter[] = [];
  try {
    for (const [i, { path, scale = 1 }] of lora.entries()) {
      const found = findModel(path, { offline, cacheDir, signal, onProgress }, runtime, ADAPTER_FILES);
      const files = await found.catch((error: Error) => {
        error.message = error.message.replace(/^model: /, `lora[${i}].path: `);
        throw error;
      });
      adapters.push(await openAdapter(files, scale, checkpoint.config));
    }
  } catch (error) {
    await Promise.allSettled([checkpoint, ...adapters].map((one) => one.close()));
    throw error;
  }
  return withAdapters(checkpoint, adapters);
}

/** The engines of this process by what they were loaded from, while they are in use. */
const engines = new Map<string, WeakRef<Engine>>();

/**
 * The engine of a checkpoint; shared by all who load the same local files with the same options, so that weights are in
 * memory once.
 */
export async function loadEngine(checkpoint: Checkpoint, runtime: Runtime, options: LoadOptions): Promise<Engine> {
  const { onProgress, signal, threads: _, kernels: __, lora = [], ...rest } = options;
  const { recallStore } = rest;
  const { kernels, threads } = await chooseKernels(options, runtime, []);
  signal?.throwIfAborted();
  for (const [key, engine] of engines) if (!engine.deref()) engines.delete(key);
  const { version, config } = checkpoint;
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  const key = JSON.stringify([
    version,
    config,
    kernels.build,
    threads,
    lora,
    ...given.map((entry) => JSON.stringify(entry, spelled)).sort(),
  ]);
  // A store of one's own is no part of the key.
  const shares = version !== undefined && typeof recallStore !== "object";
  const shared = shares ? engines.get(key)?.deref() : undefined;
  if (shared) return shared;
  const common = async () => (await chooseKernels(options, runtime, ["common"])).kernels;
  const planned = await planCheckpoint(checkpoint, common, rest);
  const tested = await chooseKernels(options, runtime, kernelParts(planned.plan));
  const engine = await Engine.load(checkpoint, tested.kernels, {
    ...{ planned, signal, threads: tested.threads, availableMemory: runtime.availableMemory() },
    logStore: typeof recallStore === "string" ? await runtime.openLog(recallStore) : recallStore,
    recallMemory: options.recallMemory,
    onProgress: (loaded, total) => onProgress?.({ stage: "read", loaded, total }),
  });
  if (shares) engines.set(key, new WeakRef(engine));
  return engine;
}

/** What JSON has no form for, so that no two options have the same key. */
function spelled(_: string, value: unknown): unknown {
  const isPlain =
    typeof value === "number" ? Number.isFinite(value) : !["bigint", "function", "symbol"].includes(typeof value);
  return isPlain ? value : { [typeof value]: String(value) };
}

/** As loadEngine, with what the model's recall.json says where recall is asked for. */
export async function loadCalibrated(checkpoint: Checkpoint, runtime: Runtime, options: LoadOptions): Promise<Engine> {
  return withCalibration(options, checkpoint, (completed) => loadEngine(checkpoint, runtime, completed));
}

/** A loaded model, whose engine is in this thread or in a worker. */
export interface Loaded {
  readonly runtime: string;
  readonly service: EngineService;
  readonly config: Readonly<Record<string, unknown>>;
  readonly generationConfig: Readonly<Record<string, unknown>>;
  readonly tokenizer: Tokenizer;
}

/** Loads a model into this thread. The tokenizer's files are not kept with it: they can be larger than the tokenizer. */
export function loadLocally(where: Where, options: LoadOptions, runtime: Runtime) {
  return withCheckpoint(
    where,
    options,
    async (checkpoint) => {
      const files = await tokenizerFiles(checkpoint);
      // Before the weights, so that a faulty one is reported early.
      const tokenizer = await tokenizerOf(files);
      const engine = await loadCalibrated(checkpoint, runtime, options);
      const service = new LocalService(engine, () => tokenTable(tokenizer));
      const { config, generationConfig } = checkpoint;
      return { loaded: { runtime: runtime.name, config, generationConfig, service, tokenizer }, files };
    },
    runtime,
  );
}

/** Loads a model in a worker of its own. Throws LambentError if the worker ends during loading. */
export async function loadRemotely(where: Where, options: LoadOptions, runtime: Runtime): Promise<Loaded> {
  if (!runtime.startEngine)
    throw new OptionError(mismatch("worker", `false, as ${runtime.name} cannot start workers`, true));
  const { onProgress, signal, lora: _, ...rest } = { ...options, kernels: locateKernels(options, runtime) };
  const lora = adaptersOf(options);
  if (typeof options.recallStore === "object")
    throw new OptionError(mismatch("recallStore", "a folder, as the engine is in a worker", "a store of one's own"));
  const places = [where, ...lora.map(({ path }) => path)].map((place) => {
    return areFiles(place) ? place : runtime.locate(`${place}`);
  });
  const scales = lora.map(({ scale }) => scale);
  const onTell = (progress: LoadProgress) => onProgress?.(progress);
  const { RemoteService } = await import("../service/remote.ts");
  const loaded = await RemoteService.load<RemoteRest>(
    runtime.startEngine(),
    places,
    { ...rest, scales },
    { signal, onTell },
  );
  const { files, ...more } = loaded.rest;
  try {
    return { ...more, service: loaded.service, tokenizer: await tokenizerOf(files) };
  } catch (error) {
    loaded.service.close();
    throw error;
  }
}

/** What a worker that loads a model is told: `scales` are those of the adapters, whose places come after the model's. */
export interface RemoteOptions extends Omit<LoadOptions, "lora"> {
  readonly scales?: readonly (number | undefined)[] | undefined;
}

/** Loads a model in the worker that loadRemotely has started. */
export function loadAsTold(
  [where, ...paths]: readonly (string | Files)[],
  { scales = [], ...options }: RemoteOptions,
  runtime: Runtime,
) {
  const lora = paths.map((path, i): LoraOptions => ({ path, scale: scales[i] }));
  return loadLocally(where as Where, { ...options, lora }, runtime);
}

/** What a worker reports about a model that it has loaded. */
type RemoteRest = Omit<Loaded, "service" | "tokenizer"> & { readonly files: TokenizerFiles };

/** The program of a model and the memory that it will take, from its config and headers; reads no weight. */
export function inspect(where: Where, options: LoadOptions = {}): Promise<Planned> {
  return withCheckpoint(where, options, async (checkpoint, runtime) => {
    threadsOf(options, runtime);
    const kernels = async () => (await chooseKernels({ ...options, threads: 1 }, runtime)).kernels;
    return withCalibration(options, checkpoint, (completed) => planCheckpoint(checkpoint, kernels, completed));
  });
}

/** Bytes per second that the threads of these options read from memory; see readBandwidth. */
export async function measureReading(options: LoadOptions): Promise<{ threads: number; bytesPerSecond: number }> {
  const { kernels, threads } = await chooseKernels(options, await currentRuntime());
  return { threads, bytesPerSecond: await readBandwidth(kernels, threads) };
}
