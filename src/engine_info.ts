import { Size } from "../assembly/layout.ts";
import { LambentError, mismatch, OptionError } from "./errors.ts";
import { BUILDS, type Kernels, loadKernels } from "./machine/kernels.ts";
import { currentRuntime } from "./runtime/index.ts";
import type { Runtime } from "./runtime/types.ts";

/** What decides where and by what a model is computed. */
export interface EngineOptions {
  /** Threads that compute, if there are any; one per core unless told, at most 16. */
  readonly threads?: number | undefined;
  /** Whether the engine runs in a worker, so that this thread stays free; in browsers unless told, elsewhere if told. */
  readonly worker?: boolean | undefined;
  /** Which builds of the kernels may be used: with relaxed SIMD, or plain; either unless told. They give the same bits. */
  readonly simd?: "relaxed" | "plain" | undefined;
}

/** Threads that are used unless told, at most: more are seldom all free. */
const DEFAULT_THREADS = 16;

const kernels = new Map<string, Promise<Kernels>>();

/** The kernels of this process, compiled and tested once; those with shared memory have one pool of threads for all models. */
function processKernels(runtime: Runtime, memory: "single" | "shared", simd: EngineOptions["simd"]): Promise<Kernels> {
  const builds = BUILDS.filter(
    (build) => build.startsWith(memory) && (simd === undefined || build === `${memory}-${simd}`),
  );
  if (builds.length === 0) throw new OptionError(mismatch("simd", "relaxed or plain", simd));
  const key = builds.join();
  let promise = kernels.get(key);
  if (!promise) {
    promise = loadKernels(runtime.kernels, builds, runtime.startThread);
    promise.catch(() => kernels.delete(key));
    kernels.set(key, promise);
  }
  return promise;
}

/** The number asked for, or one per core. Throws OptionError if it is not from 1 to MaxSlices. */
export function threadsOf(options: EngineOptions, runtime: Runtime): number {
  const { threads = Math.min(runtime.cores, DEFAULT_THREADS) } = options;
  if (Number.isInteger(threads) && threads >= 1 && threads <= Size.MaxSlices) return threads;
  throw new OptionError(mismatch("threads", `a whole number from 1 to ${Size.MaxSlices}`, threads));
}

/** Kernels for as many threads as the options say; for one where there are no threads, for the reason given. */
export async function chooseKernels(
  options: EngineOptions,
  runtime: Runtime,
): Promise<{ kernels: Kernels; threads: number; single?: string | undefined }> {
  const threads = threadsOf(options, runtime);
  const { worker = runtime.worker } = options;
  const waits = worker || !runtime.restless;
  let single = waits ? runtime.single : "a page's own thread may not wait for others";
  if (threads > 1 && runtime.startThread && waits) {
    try {
      return { kernels: await processKernels(runtime, "shared", options.simd), threads };
    } catch (error) {
      if (!(error instanceof LambentError) || error instanceof OptionError) throw error;
      single = error.message;
    }
  }
  return { kernels: await processKernels(runtime, "single", options.simd), threads, single };
}

/** What computes here, and why. */
export interface EngineInfo {
  /** Name and version. */
  readonly runtime: string;
  /** Build of the kernels. */
  readonly kernels: string;
  /** That would compute a step. */
  readonly threads: number;
  /** That can run at once. */
  readonly cores: number;
  /** Whether the engine would be in a worker. */
  readonly worker: boolean;
  /** A sentence for each thing that could have been otherwise. */
  readonly reasons: readonly string[];
}

/** What a model that is loaded with these options would be computed by, and why. */
export async function engineInfo(options: EngineOptions = {}): Promise<EngineInfo> {
  const runtime = await currentRuntime();
  const { kernels, threads, single } = await chooseKernels(options, runtime);
  const asked = options.threads === undefined ? `${runtime.cores} cores` : "as asked for";
  return {
    runtime: runtime.name,
    kernels: kernels.build,
    threads: kernels.shared ? threads : 1,
    cores: runtime.cores,
    worker: options.worker ?? runtime.worker,
    reasons: [
      ...kernels.reasons,
      `${kernels.build} gives the known answer`,
      single && (threads > 1 || options.threads === undefined) ? `one thread: ${single}` : `threads: ${asked}`,
    ],
  };
}
