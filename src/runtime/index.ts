import { LambentError } from "../errors.ts";
import type { Runtime } from "./types.ts";

/** The runtime that this code runs in. */
export async function detectRuntime(): Promise<Runtime> {
  if ("Bun" in globalThis) return (await import("./bun.ts")).bun;
  throw new LambentError("runtime: expected Bun, found another one");
}
