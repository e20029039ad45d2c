import type { Command } from "commander";
import { type ModelFlags, modelOptions, whole } from "../options.ts";

/** The flags that every evaluation has. */
export interface EvalFlags extends ModelFlags {
  readonly text: readonly string[];
  readonly seed: number;
  readonly out: string;
  readonly restart?: boolean;
}

/** Which model and how it attends, which texts, and where results go: the flags of every evaluation. */
export function evalOptions(command: Command, name: string): Command {
  return modelOptions(command)
    .requiredOption("--text <paths...>", "text files, or directories of them (UTF-8)")
    .option("--seed <n>", "of everything that is drawn", whole(0), 1)
    .option("--out <dir>", "where results are written", `results/${name}`)
    .option("--restart", "forget what an interrupted run has kept there");
}
