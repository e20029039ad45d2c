import { LambentError } from "../base/errors.ts";
import { isOf } from "../base/realm.ts";
import type { KernelExports, KernelModule } from "./kernel_exports.ts";
import { Pool, type StartThread } from "./pool.ts";
import { PARTS, selfTest } from "./selftest.ts";
import type { Part } from "./selftest_inputs.ts";

/** The builds of the kernels, one source: with shared memory or without, with relaxed SIMD or plain. */
export const BUILDS = ["shared-relaxed", "shared-plain", "single-relaxed", "single-plain"] as const;
/** One of BUILDS. */
export type Build = (typeof BUILDS)[number];

/** A compiled module, of which some parts are tested. */
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

/** Builds from one source: each is compiled once, and each of its parts is tested once. */
export class KernelLoader {
  readonly #source: KernelSource;
  readonly #start: StartThread | undefined;
  readonly #modules = new Map<Build, Promise<WebAssembly.Module | string>>();
  readonly #kernels = new Map<Build, Kernels>();
  /** The parts of a build that are right, or how one of them is wrong: the build is not used any more then. */
  readonly #results = new Map<Build, Set<Part> | string>();

  /** Shared builds get a pool of threads if `start` can make them. */
  constructor(source: KernelSource, start?: StartThread) {
    this.#source = source;
    this.#start = start;
  }

  /**
   * The first of `builds` that this host can compile and that computes in these parts what it must. Detection alone is not
   * enough: there are engines that accept relaxed SIMD and compute wrong sums. Throws LambentError if there is none.
   */
  async load(builds: readonly Build[], parts: readonly Part[] = PARTS): Promise<Kernels> {
    const reasons: string[] = [];
    for (const build of builds) {
      const module = await this.#module(build);
      if (typeof module === "string") {
        reasons.push(`${build} ${module}`);
        continue;
      }
      const kernels = this.#kernels.get(build) ?? fromModule(build, module, [...reasons], this.#start);
      this.#kernels.set(build, kernels);
      const failure = this.#failure(kernels, parts);
      if (failure === undefined) return kernels;
      reasons.push(`${build} ${failure}`);
    }
    throw new LambentError(`kernels: expected a build that runs here, found none: ${reasons.join("; ")}`);
  }

  /** A build, or why there is none. */
  #module(build: Build): Promise<WebAssembly.Module | string> {
    let module = this.#modules.get(build);
    if (!module) {
      module = this.#source(build).then(async (code) => {
        return code ? ((await compiled(code)) ?? "is not understood") : "is not there";
      });
      // Another try may find it.
      module.catch(() => this.#modules.delete(build));
      this.#modules.set(build, module);
    }
    return module;
  }

  #failure(kernels: Kernels, parts: readonly Part[]): string | undefined {
    const known = this.#results.get(kernels.build) ?? new Set();
    if (typeof known === "string") return known;
    const failure = selfTest(
      kernels,
      parts.filter((part) => !known.has(part)),
    );
    for (const part of parts) known.add(part);
    this.#results.set(kernels.build, failure ?? known);
    return failure;
  }
}

/** Kernels of one of `builds` that pass the whole test; see KernelLoader. */
export function loadKernels(source: KernelSource, builds: readonly Build[], start?: StartThread): Promise<Kernels> {
  return new KernelLoader(source, start).load(builds);
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
