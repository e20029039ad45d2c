import { type Command, Option } from "commander";
import { mismatch } from "../base/errors.ts";
import { drawSeed } from "../base/random.ts";
import { LocalService } from "../service/local.ts";
import type { GenerateOptions } from "../session/generate_options.ts";
import type { GenerationResult } from "../session/generation.ts";
import { loadCalibrated, withCheckpoint } from "../session/load.ts";
import { requireTokenizer } from "../session/load_tokenizer.ts";
import { Model, type ModelInfo } from "../session/model.ts";
import { resolveSettings } from "../session/settings.ts";
import { type ChoosingFlags, choosingOf, choosingOptions } from "./choosing.ts";
import { DEFAULT_MODEL, describeRecall, loadOptions, type ModelFlags, modelOptions, usageError } from "./options.ts";
import { Stages } from "./progress.ts";
import { readStdin, warn, warnUnused, write } from "./streams.ts";

/** The prompt if none is given. */
const DEFAULT_PROMPT = "It was late in the evening when the old captain came home.";

interface GenerateFlags extends ModelFlags, ChoosingFlags {
  readonly prompt?: string;
  readonly output: "text" | "jsonl";
  readonly stats?: boolean | "text" | "json";
}

/** Adds the command `generate`; `signal` aborts it. */
export function addGenerate(program: Command, signal: AbortSignal): void {
  const command = program
    .command("generate")
    .description("continue a text; with no argument, tell a story")
    .argument("[prompt]", "text to continue (or --prompt, or standard input)")
    .option("--prompt <text>", "text to continue");
  choosingOptions(modelOptions(command))
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
    ...choosingOf(flags),
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
    const engine = await loadCalibrated(checkpoint, runtime, {
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
    ...(info.recall ? [`recall    ${describeRecall(info)}`] : []),
    `memory    ${mib(info.memoryBytes)}, of it weights ${mib(info.weightBytes)}, keys and values ${mib(info.cacheBytes)}`,
    `prompt    ${promptTokens} tokens in ${prefillSeconds.toFixed(2)} s, ${rate(promptTokens, prefillSeconds)}`,
    `new       ${newTokens} tokens in ${decodeSeconds.toFixed(2)} s, ${rate(newTokens, decodeSeconds)}`,
    `end       ${finishReason}, logits ${logitsHash}`,
  ].join("\n");
}
