import { LambentError } from "../base/errors.ts";
import { isOf } from "../base/realm.ts";
import type { KernelExports, KernelModule } from "./kernel_exports.ts";
import { Pool, type StartThread } from "./pool.ts";
import { selfTest } from "./selftest.ts";

/** The builds of the kernels, one source: with shared memory or without, with relaxed SIMD or plain. */
export const BUILDS = ["shared-relaxed", "shared-plain", "single-relaxed", "single-plain"] as const;
/** One of BUILDS. */
export type Build = (typeof BUILDS)[number];

/** A compiled and tested module. */
export interface Kernels extends KernelModule {
  readonly build: Build;
  /** Why this one: what became of those that were tried before. */
  readonly reasons: readonly string[];
  /** Threads that help; none without shared memory, or where none can be started. */
  readonly pool: Pool | undefined;
}

/** A build as bytes, or compiled where the host compiles none. */
export type KernelCode = ArrayBufferView | ArrayBuffer | WebAssembly.Module;

/** Where the modules come from; undefined if it lacks a build. */
export type KernelSource = (build: Build) => Promise<KernelCode | undefined>;

/**
 * The first of `builds` that this host can compile and that computes what it must. Detection alone is not enough: there
 * are engines that accept relaxed SIMD and compute wrong sums. Shared builds get a pool of threads if `start` can make them.
 */
export async function loadKernels(
  source: KernelSource,
  builds: readonly Build[],
  start?: StartThread,
): Promise<Kernels> {
  const reasons: string[] = [];
  for (const build of builds) {
    const code = await source(build);
    const module = code && (await compiled(code));
    if (!module) {
      reasons.push(`${build} ${code ? "is not understood" : "is not there"}`);
      continue;
    }
    const kernels = fromModule(build, module, reasons, start);
    const failure = selfTest(kernels);
    if (failure === undefined) return kernels;
    reasons.push(`${build} ${failure}`);
  }
  throw new LambentError(`kernels: expected a build that runs here, found none: ${reasons.join("; ")}`);
}

async function compiled(code: KernelCode): Promise<WebAssembly.Module | undefined> {
  if (isOf("WebAssembly.Module", code)) return code as WebAssembly.Module;
  return WebAssembly.compile(code as BufferSource).catch(() => undefined);
}

function fromModule(
  build: Build,
  module: WebAssembly.Module,
  reasons: readonly string[],
  start: StartThread | undefined,
): Kernels {
  const shared = build.startsWith("shared");
  return {
    build,
    reasons,
    shared,
    pool: shared && start ? new Pool(module, start) : undefined,
    instantiate: (memory) => new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelExports,
  };
}
