/** The flags of how tokens are chosen, which `generate` and `chat` share. */
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import type { GenerateOptions } from "../session/generate_options.ts";
import { real, whole } from "./options.ts";

/** These flags, parsed. */
export interface ChoosingFlags {
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

/** Adds the flags to a command. */
export function choosingOptions(command: Command): Command {
  return command
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
    .option("--ignore-eos", "do not stop at the model's stop tokens");
}

/** The flags as the library takes them; `repeatLastN` is an option of loading, `seed` is drawn by the command. */
export function choosingOf(flags: ChoosingFlags): GenerateOptions {
  return {
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
  };
}
