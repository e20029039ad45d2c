import { basename } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { mismatch, OptionError } from "../../src/base/errors.ts";
import { type ModelFlags, modelOptions, whole } from "../../src/cli/options.ts";

/** The flags that every evaluation has. */
export interface ResultFlags extends ModelFlags {
  readonly seed: number;
  readonly out: string;
  readonly restart?: boolean;
}

/** The flags of evaluations on texts. */
export interface EvalFlags extends ResultFlags {
  readonly text: readonly string[];
}

/** Adds the flags for the model, its attention, the texts, and the directory of results. */
export function evalOptions(command: Command, name: string): Command {
  return resultOptions(command, name).requiredOption(
    "--text <paths...>",
    "text files, or directories of them (UTF-8; line ends CR LF and CR are read as LF)",
  );
}

/** Adds the flags for the model, its attention, and the directory of results. */
export function resultOptions(command: Command, name: string): Command {
  return modelOptions(command)
    .option("--seed <n>", "seed of all random numbers", whole(0), 1)
    .option("--out <dir>", "where results are written", `results/${name}`)
    .option("--restart", "discard the state of an interrupted run");
}

/** Integers from `min` on, separated by commas; each once, ascending. */
export function wholes(min: number): (text: string) => number[] {
  return (text) => [...new Set(text.split(",").map(whole(min)))].sort((a, b) => a - b);
}

/** Some of `choices`, separated by commas, each once. */
export function names<T extends string>(choices: readonly T[]): (text: string) => T[] {
  return (text) => {
    const list = [...new Set(text.split(",").map((name) => name.trim() as T))];
    const stranger = list.find((name) => !choices.includes(name));
    if (stranger === undefined) return list;
    throw new InvalidArgumentError(`expected some of ${choices.join(", ")}, found ${stranger}`);
  };
}

/** Every model gets a folder: throws OptionError if two have the same name. */
export function ownNames(models: readonly string[]): void {
  const folders = models.map((model) => basename(model));
  const twice = folders.find((folder, i) => folders.indexOf(folder) < i);
  if (twice !== undefined) throw new OptionError(mismatch("--models", "a name of its own for each", `${twice} twice`));
}
