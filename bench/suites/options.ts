import { basename } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import type { Budget } from "../interleave.ts";

/** The flags that every suite has. */
export interface SuiteFlags {
  readonly quick?: boolean;
  readonly results?: string;
}

export const EMBEDDED = new URL("../../models/lambent-llama-5m", import.meta.url).pathname;
const RESULTS = new URL("../results", import.meta.url).pathname;

export function suiteOptions(command: Command): Command {
  return command
    .option("--quick", "a smoke test of seconds; writes nothing unless told where")
    .option("--results <dir>", "where results are written (default: bench/results)");
}

/** Where results go; undefined: nowhere. */
export function resultsOf({ quick, results }: SuiteFlags): string | undefined {
  return results ?? (quick ? undefined : RESULTS);
}

/** How long one figure is measured. */
export function budgetOf({ quick }: SuiteFlags, time = 2000): Budget {
  return quick ? { time: 20, rounds: 3 } : { time, rounds: 9 };
}

/** A name for results of a model: empty for the embedded one. */
export function modelSuffix(model: string): string {
  return model === EMBEDDED ? "" : `-${basename(model)}`;
}

/** Whole numbers, with commas between. */
export function numbers(text: string): number[] {
  const list = text.split(",").map(Number);
  if (list.every((number) => Number.isSafeInteger(number) && number >= 0)) return list;
  throw new InvalidArgumentError(`expected whole numbers with commas between, found ${text}`);
}

/** Names, with commas between. */
export function names(text: string): string[] {
  return text.split(",");
}
