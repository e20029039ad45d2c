import { Size } from "../../assembly/layout.ts";
import { LambentError, mismatch, OptionError } from "../base/errors.ts";
import { isOf, messageOf } from "../base/realm.ts";
import { BUILDS, type Build, type KernelCode, KernelLoader, type Kernels } from "../machine/kernels.ts";
import type { Part } from "../machine/selftest_inputs.ts";
import { currentRuntime } from "../runtime/index.ts";
import type { Runtime } from "../runtime/types.ts";

/** Where and with what a model is computed; docs/OPTIONS.md describes every option. */
export interface EngineOptions {
  /** Threads that compute, where there are any: one per core by default, at most 16. */
  readonly threads?: number | undefined;
  /** Whether the engine runs in a worker, so that this thread stays free; by default only in browsers. */
  readonly worker?: boolean | undefined;
  /**
   * Which builds of the kernels may be used, with relaxed SIMD or plain; either by default. They give the same bits.
   */
  readonly simd?: "relaxed" | "plain" | undefined;
  /**
   * Where the kernels are, if not beside the code as in the package's dist/build: a folder of all four builds (a
   * directory or a URL), or bytes or compiled modules by name, one or more. For bundles, and for hosts that cannot
   * compile.
   */
  readonly kernels?: string | URL | Partial<Readonly<Record<Build, KernelCode>>> | undefined;
}

/** The most threads by default: more are rarely all idle. */
const DEFAULT_THREADS = 16;

/** By location; undefined: beside the code. */
const places = new Map<string | undefined, KernelLoader>();
const given = new WeakMap<object, KernelLoader>();

/** What was compiled from the source that these options name; those with shared memory have one pool for all models. */
function loaderOf({ kernels }: EngineOptions, runtime: Runtime): KernelLoader {
  if (kernels === undefined || typeof kernels === "string" || isOf("URL", kernels)) {
    const folder = kernels && `${kernels}`;
    const loader =
      places.get(folder) ?? new KernelLoader((build) => runtime.kernels(build, folder), runtime.startThread);
    places.set(folder, loader);
    return loader;
  }
  const builds: Partial<Record<string, KernelCode>> = Object(kernels);
  const names = Object.keys(builds);
  if (names.length === 0 || names.some((name) => !BUILDS.includes(name as Build)))
    throw new OptionError(mismatch("kernels", `a folder, or one or more of ${BUILDS.join(", ")}`, kernels));
  const loader = given.get(builds) ?? new KernelLoader(async (build) => builds[build], runtime.startThread);
  given.set(builds, loader);
  return loader;
}

/** The kernels of this process, compiled and tested once. */
async function processKernels(
  runtime: Runtime,
  memory: "single" | "shared",
  options: EngineOptions,
  parts: readonly Part[] | undefined,
): Promise<Kernels> {
  const { simd } = options;
  const builds = BUILDS.filter(
    (build) => build.startsWith(memory) && (simd === undefined || build === `${memory}-${simd}`),
  );
  if (builds.length === 0) throw new OptionError(mismatch("simd", "relaxed or plain", simd));
  return loaderOf(options, runtime).load(builds, parts);
}

/** The option `kernels` in a form that a worker of this thread can use. */
export function locateKernels({ kernels }: EngineOptions, runtime: Runtime): EngineOptions["kernels"] {
  return typeof kernels === "string" || isOf("URL", kernels) ? runtime.locate(`${kernels}`) : kernels;
}

/** The number of threads: the given one, or one per core. Throws OptionError if it is not from 1 to MaxSlices. */
export function threadsOf(options: EngineOptions, runtime: Runtime): number {
  const { threads = Math.min(runtime.cores, DEFAULT_THREADS) } = options;
  if (Number.isInteger(threads) && threads >= 1 && threads <= Size.MaxSlices) return threads;
  throw new OptionError(mismatch("threads", `a whole number from 1 to ${Size.MaxSlices}`, threads));
}

/**
 * Kernels for the number of threads in the options, of which these parts are tested, by default all; for one thread if
 * there can be no more, with the reason in `single`.
 */
export async function chooseKernels(
  options: EngineOptions,
  runtime: Runtime,
  parts?: readonly Part[],
): Promise<{ kernels: Kernels; threads: number; single?: string | undefined }> {
  const threads = threadsOf(options, runtime);
  const { worker = runtime.worker } = options;
  const waits = worker || !runtime.restless;
  let single = waits ? runtime.single : "a page's own thread may not wait for others";
  if (threads > 1 && runtime.startThread && waits) {
    try {
      return { kernels: await processKernels(runtime, "shared", options, parts), threads };
    } catch (error) {
      if (!(error instanceof LambentError) || error instanceof OptionError) throw error;
      single = error.message;
    }
  }
  return { kernels: await processKernels(runtime, "single", options, parts), threads, single };
}

/** What computes, and why. */
export interface EngineInfo {
  /** Name and version of the host. */
  readonly runtime: string;
  /** Build of the kernels. */
  readonly kernels: string;
  /** Threads that would compute a step. */
  readonly threads: number;
  /** Threads that can run at once. */
  readonly cores: number;
  /** Whether the engine would be in a worker. */
  readonly worker: boolean;
  /** One sentence for each choice that was made. */
  readonly reasons: readonly string[];
}

/** What would compute a model that is loaded with these options, and why. */
export async function engineInfo(options: EngineOptions = {}): Promise<EngineInfo> {
  const runtime = await currentRuntime();
  const { kernels, threads, single } = await chooseKernels(options, runtime);
  const failure = await kernels.pool?.trial();
  const alone = failure === undefined ? single : `${messageOf(failure)}`;
  const asked = options.threads === undefined ? `${runtime.cores} cores` : "as asked for";
  return {
    runtime: runtime.name,
    kernels: kernels.build,
    threads: kernels.shared && failure === undefined ? threads : 1,
    cores: runtime.cores,
    worker: options.worker ?? runtime.worker,
    reasons: [
      ...kernels.reasons,
      `${kernels.build} gives the known answer`,
      alone && (threads > 1 || options.threads === undefined) ? `one thread: ${alone}` : `threads: ${asked}`,
    ],
  };
}
