import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { mismatch } from "../base/errors.ts";
import { drawSeed } from "../base/random.ts";
import { LocalService } from "../service/local.ts";
import type { GenerateOptions } from "../session/generate_options.ts";
import type { GenerationResult } from "../session/generation.ts";
import { loadEngine, withCheckpoint } from "../session/load.ts";
import { requireTokenizer } from "../session/load_tokenizer.ts";
import { Model, type ModelInfo } from "../session/model.ts";
import { resolveSettings } from "../session/settings.ts";
import {
  DEFAULT_MODEL,
  describeMiddle,
  loadOptions,
  type ModelFlags,
  modelOptions,
  real,
  usageError,
  whole,
} from "./options.ts";
import { Stages } from "./progress.ts";
import { readStdin, warn, warnUnused, write } from "./streams.ts";

/** The prompt if none is given. */
const DEFAULT_PROMPT = "It was late in the evening when the old captain came home.";

interface GenerateFlags extends ModelFlags {
  readonly prompt?: string;
  readonly maxNewTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly repeatLastN?: number;
  readonly noRepeatNgramSize?: number;
  readonly minNewTokens?: number;
  readonly badWord?: string[];
  readonly logitBias?: (readonly [number, number])[];
  readonly lookup?: number;
  readonly seed?: number;
  readonly stop?: string[];
  readonly ignoreEos?: boolean;
  readonly output: "text" | "jsonl";
  readonly stats?: boolean | "text" | "json";
}

const several = (text: string, all: string[] = []) => [...all, text];

/** Not the negation of a flag --repeat-ngram-size, as commander would have it. */
function noRepeatNgramSize(): Option {
  const option = new Option("--no-repeat-ngram-size <n>", "no n tokens in a row occur twice, 0: off");
  option.negate = false;
  return option.argParser(whole(0));
}

function biases(text: string, all: (readonly [number, number])[] = []): (readonly [number, number])[] {
  const [id = "", bias = ""] = text.split("=");
  const pair = [Number(id), Number(bias)] as const;
  if (/^\d+$/.test(id) && bias.trim() !== "" && pair[1] < Infinity) return [...all, pair];
  throw new InvalidArgumentError(`expected an id=bias, found ${text}`);
}

/** Adds the command `generate`; `signal` aborts it. */
export function addGenerate(program: Command, signal: AbortSignal): void {
  const command = program
    .command("generate")
    .description("continue a text; with no argument, tell a story")
    .argument("[prompt]", "text to continue (or --prompt, or standard input)")
    .option("--prompt <text>", "text to continue");
  modelOptions(command)
    .option("-n, --max-new-tokens <n>", "most tokens to add, -1: until stopped", whole(-1))
    .option("--temperature <t>", "divides the logits, 0: greedy", real(0))
    .option("--top-k <k>", "sample from the k most likely tokens, 0: all", whole(0))
    .option("--top-p <p>", "sample from the fewest tokens whose probabilities add up to this", real(0, 1))
    .option("--min-p <p>", "leave out tokens less likely than this times the most likely one", real(0, 1))
    .option("--repetition-penalty <x>", "above 1: avoid what occurs among the last repeat-last-n tokens", real(0))
    .option(
      "--repeat-last-n <n>",
      "latest tokens that the penalty and no-repeat-ngram-size count (default: n-local)",
      whole(1),
    )
    .addOption(noRepeatNgramSize())
    .option("--min-new-tokens <n>", "minimum of new tokens before a stop token may end the text", whole(0))
    .option("--bad-word <text>", "never write this; repeatable", several)
    .option("--logit-bias <id=bias>", "add this to a token's logit; repeatable", biases)
    .option("--lookup <n>", "read up to n tokens ahead where the text repeats itself; the same text, faster", whole(0))
    .option("-s, --seed <n>", "the same seed gives the same text (default: random, printed)", whole(0))
    .option("--stop <text>", "end before this text; repeatable", several)
    .option("--ignore-eos", "do not stop at the model's stop tokens")
    .addOption(new Option("--output <form>", "what to print").choices(["text", "jsonl"]).default("text"))
    .addOption(new Option("--stats [form]", "print counts and times to stderr at the end").choices(["text", "json"]))
    .addHelpText("after", "\nDefaults: the model's generation_config.json, then Hugging Face's.")
    .action((argument: string | undefined, flags: GenerateFlags) => generate(argument, flags, signal));
}

async function generate(argument: string | undefined, flags: GenerateFlags, signal: AbortSignal): Promise<void> {
  if (argument !== undefined && flags.prompt !== undefined) {
    throw usageError(mismatch("prompt", "one, by argument or --prompt", "both"));
  }
  const given = argument ?? flags.prompt ?? (await readStdin(signal));
  const prompt = given ?? DEFAULT_PROMPT;
  const where = flags.model ?? DEFAULT_MODEL;
  const stages = new Stages();
  const generating: GenerateOptions = {
    maxNewTokens: flags.maxNewTokens,
    temperature: flags.temperature,
    topK: flags.topK,
    topP: flags.topP,
    minP: flags.minP,
    repetitionPenalty: flags.repetitionPenalty,
    noRepeatNgramSize: flags.noRepeatNgramSize,
    minNewTokens: flags.minNewTokens,
    badWords: flags.badWord,
    logitBias: flags.logitBias,
    stopStrings: flags.stop,
    ignoreEos: flags.ignoreEos,
    promptLookupNumTokens: flags.lookup,
    signal,
    onProgress: (read, total) => stages.update("reading the prompt", read, total),
  };
  const options = { ...loadOptions(flags, signal, stages), repeatLastN: flags.repeatLastN };
  const model = await withCheckpoint(where, options, async (checkpoint, runtime) => {
    const tokenizer = await requireTokenizer(checkpoint);
    const { config, generationConfig } = checkpoint;
    const { maxNewTokens, maxLength } = resolveSettings(generating, config, generationConfig, tokenizer);
    // An unbounded cache has to be planned for this text.
    const needed = (maxLength?.tokens ?? tokenizer.count(prompt) + maxNewTokens) + 1;
    const maxPositions = options.maxPositions ?? (needed < Infinity ? needed : undefined);
    const engine = await loadEngine(checkpoint, runtime, {
      ...options,
      maxPositions,
    });
    warnUnused(where, engine.unused);
    const service = new LocalService(engine);
    return new Model(where, { runtime: runtime.name, service, tokenizer, config, generationConfig });
  });
  stages.end();
  for (const warning of model.warnings) warn(warning);
  const seed = flags.seed ?? drawSeed();
  if (flags.seed === undefined) warn(`seed ${seed}`, "");
  if (given === undefined && process.stderr.isTTY) process.stderr.write(prompt);
  const generation = model.generate(prompt, { ...generating, seed });
  for await (const token of generation.tokens()) {
    stages.end();
    await write(flags.output === "jsonl" ? `${JSON.stringify(token)}\n` : token.text);
  }
  if (flags.output === "text" && process.stdout.isTTY) await write("\n");
  const result = await generation.result;
  if (flags.stats === "json") warn(JSON.stringify(statsOf(model.info, result, seed)), "");
  else if (flags.stats) warn(describe(model.info, result), "");
}

/** One object on one line; null where there is no bound. */
function statsOf(info: ModelInfo, result: GenerationResult, seed: number) {
  const all = Object.entries({ ...info, ...result, seed });
  return Object.fromEntries(all.map(([key, value]) => [key, value === Infinity ? null : value]));
}

function describe(info: ModelInfo, result: GenerationResult): string {
  const { promptTokens, newTokens, prefillSeconds, decodeSeconds, finishReason, logitsHash } = result;
  const rate = (tokens: number, seconds: number) => (seconds > 0 ? `${(tokens / seconds).toFixed(1)} tokens/s` : "-");
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const bound = (value: number) => (value === Infinity ? "∞" : value);
  return [
    `model     ${info.model} (${info.modelType}, ${info.dtype})`,
    `engine    ${info.runtime}, ${info.kernels}, ${info.threads} thread${info.threads === 1 ? "" : "s"}`,
    `attention ${info.attention}, nGlobal ${info.nGlobal}, nLocal ${bound(info.nLocal)}, limit ${bound(info.limit)}`,
    ...(info.middleK ? [`middle    ${describeMiddle(info)}`] : []),
    `memory    ${mib(info.memoryBytes)}, of it weights ${mib(info.weightBytes)}, keys and values ${mib(info.cacheBytes)}`,
    `prompt    ${promptTokens} tokens in ${prefillSeconds.toFixed(2)} s, ${rate(promptTokens, prefillSeconds)}`,
    `new       ${newTokens} tokens in ${decodeSeconds.toFixed(2)} s, ${rate(newTokens, decodeSeconds)}`,
    `end       ${finishReason}, logits ${logitsHash}`,
  ].join("\n");
}
