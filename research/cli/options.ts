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

/** Those of evaluations on texts. */
export interface EvalFlags extends ResultFlags {
  readonly text: readonly string[];
}

/** Which model and how it attends, which texts, and where results go. */
export function evalOptions(command: Command, name: string): Command {
  return resultOptions(command, name).requiredOption(
    "--text <paths...>",
    "text files, or directories of them (UTF-8; line ends CR LF and CR are read as LF)",
  );
}

/** Which model and how it attends, and where results go: the flags of every evaluation. */
export function resultOptions(command: Command, name: string): Command {
  return modelOptions(command)
    .option("--seed <n>", "of everything that is drawn", whole(0), 1)
    .option("--out <dir>", "where results are written", `results/${name}`)
    .option("--restart", "forget what an interrupted run has kept there");
}

/** Whole numbers from `min` on with commas between them, each once, ascending. */
export function wholes(min: number): (text: string) => number[] {
  return (text) => [...new Set(text.split(",").map(whole(min)))].sort((a, b) => a - b);
}

/** Some of `choices` with commas between them, each once. */
export function names<T extends string>(choices: readonly T[]): (text: string) => T[] {
  return (text) => {
    const list = [...new Set(text.split(",").map((name) => name.trim() as T))];
    const stranger = list.find((name) => !choices.includes(name));
    if (stranger === undefined) return list;
    throw new InvalidArgumentError(`expected some of ${choices.join(", ")}, found ${stranger}`);
  };
}

/** Models get a folder each: throws OptionError if two of them have one name. */
export function ownNames(models: readonly string[]): void {
  const folders = models.map((model) => basename(model));
  const twice = folders.find((folder, i) => folders.indexOf(folder) < i);
  if (twice !== undefined) throw new OptionError(mismatch("--models", "a name of its own for each", `${twice} twice`));
}
