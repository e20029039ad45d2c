import { fileURLToPath } from "node:url";
import { type Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { Size } from "../../assembly/layout.ts";
import { Code } from "../../assembly/layout_codes.ts";
import { CACHE_DTYPES, DTYPES } from "../base/dtype.ts";
import { mismatch } from "../base/errors.ts";
import { LARGEST_GATE, type LayerHead, type Middle, RECALL_QUERIES } from "../plan/middle.ts";
import { POLICIES } from "../plan/policy.ts";
import type { LoadOptions, LoraOptions } from "../session/load.ts";
import type { Stages } from "./progress.ts";

/** The model that is used when none is named; it lies beside this code. */
export const DEFAULT_MODEL = fileURLToPath(new URL("../../models/lambent-llama-5m", import.meta.url));

/** A whole number from `min` to `max`. */
export function whole(min: number, max = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
    const most = value > Number.MAX_SAFE_INTEGER ? Math.min(max, Number.MAX_SAFE_INTEGER) : max;
    throw new InvalidArgumentError(`expected a whole number from ${range(min, most)}, found ${text}`);
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

function flag(flags: string, description: string, read?: (text: string) => unknown): Option {
  const option = new Option(flags, description);
  return read ? option.argParser(read) : option;
}

function choice(flags: string, description: string, choices: readonly string[], first: string): Option {
  return new Option(flags, description).choices(choices).default(first);
}

/** An adapter's place and, behind a last colon that is not that of a port, its scale. */
function adapter(text: string): LoraOptions {
  const [, path = text, scale] = text.match(/^(.+):(-?(?:\d+\.?\d*|\.\d+))$/) ?? [];
  return scale === undefined || /^https?:\/\/[^/]*$/i.test(path) ? { path: text } : { path, scale: Number(scale) };
}

/** The flags of how a model is loaded and how it attends, by what `load` calls them; commander gives them the same names. */
export const LOAD_FLAGS = {
  revision: flag("--revision <name>", "branch, tag or commit of a Hugging Face id"),
  file: flag("--file <name>", "GGUF file in the directory or of the Hugging Face id"),
  offline: flag("--offline", "use only what was downloaded before"),
  cacheDir: flag("--cache-dir <dir>", "where downloads are kept (default: the Hugging Face cache)"),
  lora: new Option(
    "--lora <where>",
    "adapter (LoRA) beside the weights, :SCALE behind it if not 1; repeatable",
  ).argParser((text: string, all: LoraOptions[] = []) => [...all, adapter(text)]),
  dtype: choice("--dtype <format>", "format of the weights", ["auto", ...DTYPES], "auto"),
  cacheDtype: choice("--cache-dtype <format>", "format of keys and values", CACHE_DTYPES, "f32"),
  threads: flag("--threads <n>", "threads that compute (default: one per core, at most 16)", whole(1, Size.MaxSlices)),
  attention: choice("--attention <policy>", "which keys a query meets", POLICIES, "lambda"),
  nGlobal: flag("--n-global <n>", "first tokens that every query meets (default: 10, sinks 4)", whole(0)),
  nLocal: flag("--n-local <n>", "latest tokens that a query meets (default: trained length, at most 4096)", whole(1)),
  limit: flag("--limit <n>", "largest distance that a query sees (default: n-local)", whole(1)),
  maxPositions: flag("--max-positions <n>", "longest text under full and ceiling-only attention", whole(1)),
  recall: flag(
    "--recall <k>",
    "middle tokens that each head attends to, those most like what it looks for (default: 0)",
    whole(0, 256),
  ),
  recallDistance: flag(
    "--recall-distance <n>",
    "distance at which middle tokens are scored and attended (default: the model's recall.json, or half of limit)",
    whole(1),
  ),
  recallLayers: flag(
    "--recall-layers <n,…>",
    "in these layers, counted from 0 (default: the model's recall.json, or from 5/32 of the layers on)",
    (text: string) => text.split(",").map(whole(0)),
  ),
  recallHeads: flag(
    "--recall-heads <layer:head,…>",
    "these heads only, such as 5:1,11:2, or all; 5:1:2 with a gate of its own (default: the model's recall.json, or all of these layers)",
    layerHeads,
  ),
  recallTokens: flag(
    "--recall-tokens <n>",
    "middle tokens that are kept (default: 8 times the trained length)",
    whole(1),
  ),
  recallBlocks: flag(
    "--recall-blocks <n>",
    "blocks of 16 or 32 of them that are looked into, or all (default: 128, or a 512th of recall-tokens if that is more)",
    orWord("all", whole(1, Code.MostBlocks)),
  ),
  recallGate: flag(
    "--recall-gate <power>",
    "weight that a recalled token loses unless it runs on, at 65,536 middle tokens: a power of two relative to all others, such as 0, or none (default: the model's recall.json, or none)",
    orWord("none", real(-LARGEST_GATE, LARGEST_GATE)),
  ),
  recallQueries: choice(
    "--recall-queries <who>",
    "for all queries, or the last of a text and generated ones",
    RECALL_QUERIES,
    "all",
  ),
  recallStore: flag(
    "--recall-store <dir>",
    "keep keys and values of middle tokens in files there, and of 1,024 tokens in memory (default: all in memory)",
  ),
  recallMemory: flag(
    "--recall-memory <MiB>",
    "as many of them as have room there also stay in memory (default: 256)",
    mebibytes,
  ),
} as const satisfies Partial<Record<keyof LoadOptions, Option>>;

/** A number, or a word in its place. */
function orWord<Word extends string>(word: Word, number: (text: string) => number): (text: string) => number | Word {
  return (text) => {
    if (text === word) return word;
    try {
      return number(text);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      throw new InvalidArgumentError(error.message.replace("expected", `expected ${word}, or`));
    }
  };
}

/** Layers and heads, and gates of their own, such as 5:1,11:2:-1. */
export function layerHeads(text: string): LayerHead[] | "all" {
  if (text === "all") return text;
  return text.split(",").map((pair) => {
    const [, layer, head, gate] = /^\s*(\d+):(\d+)(?::(-?\d+(?:\.\d+)?))?\s*$/.exec(pair) ?? [];
    if (!layer || !head)
      throw new InvalidArgumentError(`expected all, or layers and heads, such as 5:1, found ${pair}`);
    return gate === undefined ? [Number(layer), Number(head)] : [Number(layer), Number(head), Number(gate)];
  });
}

/** Bytes of so many MiB. */
function mebibytes(text: string): number {
  return Math.floor(real(0, 2 ** 30)(text) * 2 ** 20);
}

type LoadFlag = keyof typeof LOAD_FLAGS;

/** The flags of `modelOptions`, parsed. */
export interface ModelFlags extends Pick<LoadOptions, LoadFlag> {
  readonly model?: string;
}

/** Which model, how it is loaded, and how it attends: the flags that every command has. */
export function modelOptions(command: Command): Command {
  command.option(
    "-m, --model <where>",
    "directory, GGUF file, URL or Hugging Face id (default: the embedded lambent-llama-5m)",
  );
  return Object.values(LOAD_FLAGS).reduce((all, option) => all.addOption(option), command);
}

const LABELS = { download: "downloading", read: "reading the weights" } as const;

/** What says how --recall looks back. */
const RECALL_FLAGS = [
  "recallDistance",
  "recallLayers",
  "recallHeads",
  "recallTokens",
  "recallBlocks",
  "recallGate",
  "recallStore",
  "recallMemory",
] as const;

/** The flags as the library takes them, with bars for what takes long. Throws CommanderError for some that need --recall. */
export function loadOptions(flags: ModelFlags, signal: AbortSignal, stages: Stages): LoadOptions {
  const alone = flags.recall === undefined ? RECALL_FLAGS.find((name) => flags[name] !== undefined) : undefined;
  if (alone) throw usageError(mismatch("--recall", `a number beside ${LOAD_FLAGS[alone].long}`, "none"));
  const onProgress: LoadOptions["onProgress"] = ({ stage, loaded, total }) => {
    stages.update(LABELS[stage], loaded, total);
  };
  const given = (Object.keys(LOAD_FLAGS) as LoadFlag[]).map((name) => [name, flags[name]]);
  return { ...(Object.fromEntries(given) as Pick<LoadOptions, LoadFlag>), signal, onProgress };
}

/** What a policy says of middle tokens, where it has any. */
export function describeRecall(middle: Middle): string {
  const { recall, recallDistance, recallLayers, recallTokens, recallBlocks, recallGate, recallQueries } = middle;
  const { recallHeads } = middle;
  const heads = recallHeads === "all" ? "all" : recallHeads.map((head) => head.join(":"));
  const blocks = recallBlocks === Infinity ? "all" : recallBlocks;
  const gate = recallGate === -Infinity ? "none" : recallGate;
  return `${recall} of recallTokens ${recallTokens}, recallBlocks ${blocks}, recallDistance ${recallDistance}, recallGate ${gate}, recallLayers ${recallLayers}, recallHeads ${heads}, recallQueries ${recallQueries}`;
}
