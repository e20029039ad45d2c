import type { Command } from "commander";
import type { BatchModel } from "./batch_model.ts";
import { readText } from "./chat.ts";
import { DEFAULT_MODEL, loadOptions, type ModelFlags, modelOptions, whole } from "./options.ts";
import type { Stages } from "./progress.ts";
import { nameOf, several } from "./serving.ts";

/** Flags of whatever answers requests of a batch. */
export interface AnsweringFlags extends ModelFlags {
  readonly alias?: string[];
  readonly parallel: number;
  readonly maxNewTokens: number;
  readonly template?: string;
}

/** Adds the options of whatever answers requests of a batch. */
export function answeringOptions(command: Command): Command {
  return modelOptions(command)
    .option("--alias <name>", "name that the model answers to (default: that of its folder or id); repeatable", several)
    .option("--parallel <n>", "requests at once, of each worker; each takes a session's memory", whole(1, 2 ** 16), 16)
    .option("-n, --max-new-tokens <n>", "most tokens of an answer, if the request does not say", whole(1), 4096)
    .option("--template <file>", "chat template (Jinja), instead of the model's");
}

/** The names that the model answers to. */
export function namesOf({ alias, model = DEFAULT_MODEL }: AnsweringFlags): readonly [string, ...string[]] {
  return (alias as [string, ...string[]] | undefined) ?? [nameOf(model)];
}

/** The model that the flags ask for. */
export async function batchModel(flags: AnsweringFlags, signal: AbortSignal, stages: Stages): Promise<BatchModel> {
  return {
    where: flags.model ?? DEFAULT_MODEL,
    names: namesOf(flags),
    loading: loadOptions(flags, signal, stages),
    parallel: flags.parallel,
    maxNewTokens: flags.maxNewTokens,
    chatTemplate: flags.template === undefined ? undefined : await readText(flags.template),
  };
}
