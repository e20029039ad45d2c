/** What the tests of sources share: models, an engine over any files, and the one line in which something is refused. */
import { expect } from "bun:test";
import { join } from "node:path";
import { LambentError } from "../../src/base/errors.ts";
import type { Files } from "../../src/base/source.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { engineFrom, FIXTURES, kernels, MODELS } from "../setup.ts";

export type DType = "auto" | "q4";

export const EMBEDDED = join(MODELS, "lambent-gptj-6m");
export const FIXTURE = join(FIXTURES, "gptj");
export const WEIGHTS = "model.safetensors";
export const IDS = [5, 17, 2, 40, 9, 33];

export async function engineOf(files: Files, dtype: DType = "auto", signal?: AbortSignal): Promise<Engine> {
  return engineFrom(files, await kernels(), { dtype, signal });
}

/** The one line in which something is refused. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error("no error"),
    (reason: Error) => reason,
  );
  expect(error).toBeInstanceOf(LambentError);
  expect(error.message).toMatch(/^[^\n\r\u2028\u2029]+$/);
  return error.message;
}
