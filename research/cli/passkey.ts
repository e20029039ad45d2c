import { basename } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { mismatch } from "../../src/base/errors.ts";
import { DEFAULT_MODEL, real, usageError, whole } from "../../src/cli/options.ts";
import { Stages } from "../../src/cli/progress.ts";
import { write } from "../../src/cli/streams.ts";
import { POLICIES, type Policy, type PolicyName } from "../../src/plan/policy.ts";
import type { LoadOptions } from "../../src/session/load.ts";
import { Quiz, SESSIONS, type Trial } from "../eval/passkey.ts";
import { type Cell, cellsOf, type Grid, type Prompt, PromptMaker, truncated } from "../eval/passkey_prompts.ts";
import { type ResultFlags, resultOptions } from "./options.ts";
import { type CellResult, header, line, plotOf, rowsOf, summariesOf, verdict } from "./passkey_report.ts";
import { svg } from "./plot.ts";
import { csv, type Json, type Results, withResults } from "./results.ts";
import { commandLine, type Subject, withSubject } from "./subject.ts";

const NAME = "passkey";
const RECALL = "+recall";
const TRUNCATION = "truncation";
const DEFAULT_POLICIES = ["lambda", `lambda${RECALL}`, TRUNCATION, "full"];
/** Relative to the trained length. */
const DEFAULT_LENGTHS = [1 / 2, 1, 2, 4, 8];
/** The paper's upper end, exclusive: randint(1, 10^7). */
const DEFAULT_KEYS = { keyMin: 1, keyMax: 10 ** 7 - 1 };
/** Middle tokens per head by default, as in the paper. */
const PAPER_K = 5;

interface PasskeyFlags extends ResultFlags {
  readonly policies?: readonly string[];
  readonly lengths?: readonly number[];
  readonly depths: readonly number[];
  readonly trials: number;
  readonly keyMin?: number;
  readonly keyMax?: number;
  readonly keyDigits?: number;
}

/** The grid that every policy is evaluated on. */
interface Work {
  readonly subject: Subject;
  readonly cells: readonly Cell[];
  readonly maker: PromptMaker;
  readonly results: Results;
  readonly stages: Stages;
  readonly signal: AbortSignal;
}

/** One of --policies: its attention, and how much of a prompt it reads. */
interface Contestant {
  readonly name: string;
  readonly options: LoadOptions;
  readonly policy: Policy;
  /** The most tokens of an answer. */
  readonly answerTokens: number;
  readonly prepare: (prompt: Prompt) => Prompt;
}

export function addPasskey(evaluation: Command, signal: AbortSignal): void {
  const command = evaluation.command(NAME);
  resultOptions(command, NAME)
    .description("hide a number in a long text and ask for it: accuracy by length of the text and depth of the key")
    .option("--policies <list>", `policies to compare (default: ${DEFAULT_POLICIES})`, listOf(policyName))
    .option(
      "--lengths <list>",
      "tokens of a prompt (default: 1/2, 1, 2, 4 and 8 times the trained length)",
      listOf(whole(1)),
    )
    .addOption(
      new Option("--depths <list>", "positions of the key from 0 to 1, or a number of equally spaced ones")
        .argParser(depths)
        .default(depths("5"), "5"),
    )
    .option("--trials <n>", "prompts of each length and depth", whole(1), 5)
    .option("--key-min <n>", `smallest key (default: ${DEFAULT_KEYS.keyMin})`, whole(0))
    .option("--key-max <n>", `largest key (default: ${DEFAULT_KEYS.keyMax})`, whole(0, 10 ** 15))
    .addOption(
      new Option("--key-digits <n>", "keys with this many digits")
        .argParser(whole(1, 15))
        .conflicts(["keyMin", "keyMax"]),
    )
    .addHelpText(
      "after",
      `
The prompts are the paper's, with exactly as many tokens as --lengths says, BOS included. Keys are drawn uniformly, the
same for every policy. The answer is greedy; its first whole number must be the key. NLL: nats per token of the key behind
the prompt; "other NLL": of another key of as many digits, which a model that found the key thinks much less likely.

Policies are those of --attention, and
  <policy>${RECALL}   with top-k middle tokens: --recall (default: ${PAPER_K}), and the other options of them
  ${TRUNCATION}        full attention to BOS and the last tokens of the prompt, as many as the trained length (Table 2)`,
    )
    .action((flags: PasskeyFlags) => {
      const given =
        command.getOptionValueSource("attention") === "cli" ? [flags.attention as string] : DEFAULT_POLICIES;
      return passkey(flags, flags.policies ?? given, signal);
    });
}

async function passkey(flags: PasskeyFlags, policies: readonly string[], signal: AbortSignal): Promise<void> {
  const { keyMin = DEFAULT_KEYS.keyMin, keyMax = DEFAULT_KEYS.keyMax, keyDigits } = flags;
  const keys = keyDigits ? { keyMin: 10 ** (keyDigits - 1), keyMax: 10 ** keyDigits - 1 } : { keyMin, keyMax };
  if (keys.keyMin >= keys.keyMax) throw usageError(mismatch("--key-min", `less than ${keys.keyMax}`, keys.keyMin));
  const stages = new Stages();
  await withSubject(flags, signal, stages, async (subject) => {
    const lengths = flags.lengths ?? DEFAULT_LENGTHS.map((times) => Math.floor(times * subject.trainedLength));
    const grid: Grid = { lengths, depths: flags.depths, trials: flags.trials, ...keys };
    const maker = new PromptMaker(subject.tokenizer, subject.bos);
    const cells = cellsOf(grid, flags.seed);
    // Lengths that are too short are refused before anything is computed.
    for (const { length, depth, keys } of cells) maker.prompts({ length, depth, keys });
    const contestants = policies.map((name) => contestant(name, flags, subject, grid, maker));
    const { revision, dtype, cacheDtype, seed } = flags;
    const model = flags.model ?? basename(DEFAULT_MODEL);
    const numbers = Object.fromEntries(contestants.map(({ name, policy }) => [name, { ...policy }]));
    const parameters = { model, revision, dtype, cacheDtype, seed, ...grid, policies: numbers } as Json;
    await withResults(flags, NAME, parameters, signal, async (results) => {
      const work: Work = { subject, cells, maker, results, stages, signal };
      const done: CellResult[] = [];
      try {
        for (const one of contestants) done.push(...(await run(one, work)));
      } finally {
        stages.end();
      }
      const summaries = summariesOf(done);
      const last = verdict(summaries);
      const whole = { ...subject.facts, parameters, verdict: last, summaries, cells: done };
      await results.write(`${NAME}.json`, `${JSON.stringify(whole, null, 1)}\n`);
      await results.write(`${NAME}.csv`, csv(rowsOf(done)));
      await results.write(`${NAME}.svg`, await svg(plotOf(done, basename(model), commandLine())));
      await write(`\n${last}\n`);
    });
  });
}

function contestant(name: string, flags: PasskeyFlags, subject: Subject, grid: Grid, maker: PromptMaker): Contestant {
  const { trainedLength, bos } = subject;
  const longest = Math.max(...grid.lengths);
  const answerTokens = maker.answerTokens(grid.keyMax);
  const read = name === TRUNCATION ? trainedLength : longest;
  const options: LoadOptions = {
    attention: name === TRUNCATION ? "full" : (name.replace(RECALL, "") as PolicyName),
    maxPositions: read + answerTokens,
    maxSessions: SESSIONS,
    recall: name.endsWith(RECALL) ? (flags.recall ?? PAPER_K) : 0,
  };
  const prepare = (prompt: Prompt) => truncated(prompt, read, bos);
  return { name, options, policy: subject.plan(options).plan.policy, answerTokens, prepare };
}

function unitOf(policy: string, { length, depth }: Cell): string {
  return `${policy} ${length} ${depth}`;
}

/** Evaluates every cell under one policy, unless it is in the journal; prints a line whenever a length is done. */
async function run(one: Contestant, work: Work): Promise<CellResult[]> {
  const { name, policy, options, answerTokens, prepare } = one;
  const { subject, cells, maker, results, stages, signal } = work;
  const window = Math.min(subject.trainedLength, policy.nLocal);
  const total = cells.reduce((sum, { length, keys }) => sum + length * keys.length, 0);
  const done: CellResult[] = [];
  let quiz: Quiz | undefined;
  let tokens = 0;
  await write(header(name, policy, cells));
  for (const cell of cells) {
    const prompts = maker.prompts(cell);
    const unit = unitOf(name, cell);
    let trials = results.get(unit) as unknown as Trial[] | undefined;
    if (!trials) {
      quiz ??= new Quiz(await subject.engine(options), subject.tokenizer, answerTokens);
      trials = [];
      for (const prompt of prompts) {
        trials.push(await quiz.ask(prepare(prompt), signal));
        stages.update(name, tokens + trials.length * cell.length, total);
      }
      await results.keep(unit, trials as unknown as Json);
    }
    tokens += trials.length * cell.length;
    const { length, depth } = cell;
    const position = prompts[0]?.shared as number;
    done.push({ policy: name, length, depth, position, reachable: length - position <= window, trials });
    const row = done.filter((other) => other.length === length);
    if (row.length < cells.filter((other) => other.length === length).length) continue;
    stages.end();
    await write(line(row));
  }
  quiz?.end();
  return done;
}

/** Items separated by commas, each once, numbers in order. */
function listOf<T extends string | number>(item: (text: string) => T): (text: string) => T[] {
  return (text) => {
    const list = [...new Set(text.split(",").map((part) => item(part.trim())))];
    return list.every((value) => typeof value === "number") ? list.sort((a, b) => a - b) : list;
  };
}

function policyName(text: string): string {
  const known = [...POLICIES, ...POLICIES.map((name) => `${name}${RECALL}`), TRUNCATION];
  if (known.includes(text)) return text;
  const expected = `some of ${POLICIES.join(", ")}, with or without ${RECALL}, and ${TRUNCATION}`;
  throw new InvalidArgumentError(`expected ${expected}, found ${text}`);
}

function depths(text: string): number[] {
  const steps = Number(text);
  if (Number.isInteger(steps) && steps > 1 && steps <= 1000) {
    return Array.from({ length: steps }, (_, i) => i / (steps - 1));
  }
  return listOf(real(0, 1))(text);
}
