import { fileURLToPath } from "node:url";
import { type Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { Size } from "../../assembly/layout.ts";
import { CACHE_DTYPES, DTYPES } from "../base/dtype.ts";
import { MIDDLE_QUERIES, type Middle, POLICIES } from "../plan/policy.ts";
import type { LoadOptions } from "../session/load.ts";
import type { Stages } from "./progress.ts";

/** The model that is used when none is named; it lies beside this code. */
export const DEFAULT_MODEL = fileURLToPath(new URL("../../models/lambent-llama-5m", import.meta.url));

/** A whole number from `min` to `max`. */
export function whole(min: number, max = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected a whole number from ${range(min, max)}, found ${text}`);
  };
}

/** A count of at least one, such as 5000, 5k or 200M. */
export function quantity(text: string): number {
  const [, number = "", unit = ""] = text.match(/^(.*?)([kM]?)$/) ?? [];
  const value = Number(number) * (unit === "M" ? 1e6 : unit === "k" ? 1e3 : 1);
  return whole(1)(number.trim() === "" || Number.isNaN(value) ? text : `${value}`);
}

/** A number from `min` to `max`. */
export function real(min: number, max = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value >= min && value <= max && value < Infinity) return value;
    throw new InvalidArgumentError(`expected a number from ${range(min, max)}, found ${text}`);
  };
}

function range(min: number, max: number): string {
  return `${min} ${max < Infinity ? `to ${max}` : "on"}`;
}

/** Flags that do not go together. */
export function usageError(message: string): CommanderError {
  return new CommanderError(2, "lambent.usage", `error: ${message}`);
}

/** Which model, how it is loaded, and how it attends: the flags that every command has. */
export function modelOptions(command: Command): Command {
  return command
    .option("-m, --model <where>", "directory, URL or Hugging Face id (default: the embedded lambent-llama-5m)")
    .option("--revision <name>", "branch, tag or commit of a Hugging Face id")
    .option("--offline", "use only what was downloaded before")
    .option("--cache-dir <dir>", "where downloads are kept (default: the Hugging Face cache)")
    .addOption(new Option("--dtype <format>", "format of the weights").choices(["auto", ...DTYPES]).default("auto"))
    .addOption(new Option("--cache-dtype <format>", "format of keys and values").choices(CACHE_DTYPES).default("f32"))
    .option("--threads <n>", "threads that compute (default: one per core, at most 16)", whole(1, Size.MaxSlices))
    .addOption(new Option("--attention <policy>", "which keys a query meets").choices(POLICIES).default("lambda"))
    .option("--n-global <n>", "first tokens that every query meets (default: 10, sinks 4)", whole(0))
    .option("--n-local <n>", "latest tokens that a query meets (default: trained length, at most 4096)", whole(1))
    .option("--limit <n>", "largest distance that a query sees (default: n-local)", whole(1))
    .option("--max-positions <n>", "longest text under full and ceiling-only attention", whole(1))
    .option(
      "--middle-k <k>",
      "middle tokens that each head attends to, those of the highest scores (default: 0)",
      whole(0, 256),
    )
    .option(
      "--middle-distance <n>",
      "distance at which middle tokens are scored and attended (default: half of limit)",
      whole(1),
    )
    .option(
      "--first-layer <n>",
      "in the layers from this one on, counted from 0 (default: 5/32 of the layers)",
      whole(0),
    )
    .option("--max-middle <n>", "middle tokens that are kept (default: 8 times the trained length)", whole(1))
    .addOption(
      new Option("--middle-queries <who>", "for all queries, or the last of a text and generated ones")
        .choices(MIDDLE_QUERIES)
        .default("all"),
    );
}

/** The flags of `modelOptions`, parsed. */
export interface ModelFlags
  extends Pick<
    LoadOptions,
    | "revision"
    | "offline"
    | "cacheDir"
    | "dtype"
    | "cacheDtype"
    | "threads"
    | "attention"
    | "nGlobal"
    | "nLocal"
    | "limit"
    | "maxPositions"
    | "middleK"
    | "middleDistance"
    | "firstLayer"
    | "maxMiddle"
    | "middleQueries"
  > {
  readonly model?: string;
}

const LABELS = { download: "downloading", read: "reading the weights" } as const;

/** The flags as the library takes them, with bars for what takes long. */
export function loadOptions(flags: ModelFlags, signal: AbortSignal, stages: Stages): LoadOptions {
  const onProgress: LoadOptions["onProgress"] = ({ stage, loaded, total }) => {
    stages.update(LABELS[stage], loaded, total);
  };
  const { revision, offline, cacheDir, dtype, cacheDtype, threads } = flags;
  const { attention, nGlobal, nLocal, limit, maxPositions } = flags;
  const { middleK, middleDistance, firstLayer, maxMiddle, middleQueries } = flags;
  const policy = { attention, nGlobal, nLocal, limit, maxPositions };
  const middle = { middleK, middleDistance, firstLayer, maxMiddle, middleQueries };
  return { revision, offline, cacheDir, dtype, cacheDtype, threads, ...policy, ...middle, signal, onProgress };
}

/** What a policy says of middle tokens, where it has any. */
export function describeMiddle({ middleK, middleDistance, firstLayer, maxMiddle, middleQueries }: Middle): string {
  return `middleK ${middleK} of maxMiddle ${maxMiddle}, middleDistance ${middleDistance}, firstLayer ${firstLayer}, middleQueries ${middleQueries}`;
}
