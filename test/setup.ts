/** What tests share: where things are, and engines over checkpoints. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Files } from "../src/base/source.ts";
import { Engine, type LoadingOptions } from "../src/engine/engine.ts";
import { openCheckpoint } from "../src/formats/open.ts";
import { BUILDS, type Build, type Kernels, loadKernels } from "../src/machine/kernels.ts";
import { bun } from "../src/runtime/bun.ts";
import { directory } from "../src/sources/directory.ts";

export const ROOT = join(import.meta.dir, "..");
export const FIXTURES = join(ROOT, "test/golden/fixtures");
/** GGUF files of some of them. */
export const GGUF = join(ROOT, "test/golden/gguf");
/** A fixture of each kind of positions: RoPE in halves with grouped heads, ALiBi for six heads, RoPE of neighbours. */
export const FAMILIES = ["llama-gqa-tied", "mpt-heads6", "gptj"] as const;
export const MODELS = join(ROOT, "models");
/** Material that is not part of the project; tests that use it skip where it is absent. */
export const SHARED = join(ROOT, "../shared");

/** A folder of ../shared, or undefined with a word on why the test is skipped. */
export function shared(path: string): string | undefined {
  const full = join(SHARED, path);
  if (existsSync(full)) return full;
  console.warn(`skipped: ${path} is not provided here`);
  return undefined;
}

const loaded = new Map<Build, Promise<Kernels>>();

/** One build of the kernels, compiled and tested once. */
export function kernels(build: Build = "single-plain"): Promise<Kernels> {
  let promise = loaded.get(build);
  if (!promise) {
    promise = loadKernels(bun.kernels, [build]);
    loaded.set(build, promise);
  }
  return promise;
}

export { BUILDS };

/** An engine over the checkpoint in `directory`. */
export async function openEngine(path: string, options: LoadingOptions = {}, build?: Build): Promise<Engine> {
  return engineFrom(directory(path), await kernels(build), options);
}

/** An engine over a checkpoint's files, which are closed when it is there. */
export async function engineFrom(files: Files, kernels: Kernels, options: LoadingOptions = {}): Promise<Engine> {
  const checkpoint = await openCheckpoint(files);
  try {
    return await Engine.load(checkpoint, kernels, options);
  } finally {
    await checkpoint.close();
  }
}

/** The logits after each of `ids`, [n][vocab], read from a fresh session in one go. */
export async function logitsOf(engine: Engine, ids: readonly number[], origin = 0): Promise<Float32Array[]> {
  const session = engine.open(origin, 1);
  const rows: Float32Array[] = [];
  await engine.forward(session, ids, (logits) => void rows.push(logits.slice()));
  engine.dispose(session);
  return rows;
}

/** max |a − b| / (1 + |b|), the measure of every comparison of logits. */
export function deviation(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let worst = 0;
  if (found.length !== wanted.length) return Infinity;
  for (let i = 0; i < wanted.length; i++) {
    const want = wanted[i] as number;
    const off = Math.abs((found[i] as number) - want) / (1 + Math.abs(want));
    worst = Math.max(worst, off); // NaN stays
  }
  return worst;
}
