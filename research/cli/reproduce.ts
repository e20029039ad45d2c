import { spawn } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { LambentError, mismatch, OptionError } from "../../src/base/errors.ts";
import { unwritable, writeWhole } from "../../src/cli/files.ts";
import { whole } from "../../src/cli/options.ts";
import { warn, write } from "../../src/cli/streams.ts";
import { inspect } from "../../src/session/load.ts";
import { type Claim, claimsOf } from "../eval/claims.ts";
import type { Evaluations } from "../eval/evaluations.ts";
import { ownNames } from "./options.ts";
import { type Step, stepsOf } from "./reproduce_steps.ts";
import { type Json, type Results, withResults } from "./results.ts";
import { type DoneStep, figureName, resultsPage } from "./results_page.ts";
import { commandLine } from "./subject.ts";
import { textFiles } from "./texts.ts";

interface ReproduceFlags {
  readonly text?: readonly string[];
  readonly latex?: readonly string[];
  readonly models?: readonly string[];
  readonly out?: string;
  readonly work: string;
  readonly streamTokens: number;
  readonly threads?: number;
  readonly quick?: boolean;
  readonly restart?: boolean;
}

const HERE = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
/** The model that shows most comes first: it has learned to find keys, and sinks have started to form in it. */
const MODELS = ["lambent-gptj-6m", "lambent-llama-5m", "lambent-mpt-5m"].map((name) => HERE(`models/${name}`));
const TEXTS = HERE("models/texts");
const DOCS = HERE("docs");
const QUICK_STREAM = 12_000;

export function addReproduce(program: Command, signal: AbortSignal): void {
  program
    .command("reproduce")
    .description(
      "all evaluations of the paper on the three embedded models or others, and a page of what agrees with it",
    )
    .option(
      "--text <paths...>",
      "novels that the models have not seen (with --quick: excerpts that are part of the project)",
    )
    .option("--latex <paths...>", "LaTeX documents, the paper's other domain")
    .option(
      "--models <where...>",
      "models (default: the three embedded ones); the first one reads the stream, unless it was trained at more than 4096 tokens",
    )
    .option("--stream-tokens <n>", "length of the unbroken stream, 0: none", whole(0), 10_000_000)
    .option("--threads <n>", "threads that compute (default: one per core, at most 16)", whole(1))
    .option("--quick", "the same in small, within minutes: fails if Λ-attention does not do what it should")
    .option(
      "--work <dir>",
      "where the evaluations keep their results; done ones are not done again",
      "results/reproduce",
    )
    .option(
      "--out <dir>",
      "where RESULTS.md and figures are written, beside what is there of other models (default: docs; with --quick: the work directory)",
    )
    .option("--restart", "do every evaluation anew")
    .addHelpText("after", "\nRuns one command of ours after the other; an interrupted one goes on where it was.")
    .action((flags: ReproduceFlags) => reproduce(flags, signal));
}

async function reproduce(flags: ReproduceFlags, signal: AbortSignal): Promise<void> {
  const { quick = false, models = MODELS, work } = flags;
  ownNames(models);
  const given = flags.text ?? (quick ? [TEXTS] : undefined);
  const out = flags.out ?? (quick ? work : DOCS);
  if (!given) throw new OptionError(mismatch("text", "novels to read (--text, or --quick)", "none"));
  const texts = await textFiles(given);
  const latex = await textFiles(flags.latex ?? []);
  const streamTokens = quick ? QUICK_STREAM : flags.streamTokens;
  const steps: Step[] = [];
  for (const [i, model] of models.entries()) {
    const { trainedLength } = (await inspect(model)).program;
    const paths = (files: typeof texts) => files.map(({ path }) => path);
    const setting = {
      texts: paths(texts),
      latex: paths(latex),
      trainedLength,
      quick,
      streamTokens: i === 0 ? streamTokens : 0,
    };
    steps.push(...stepsOf(model, setting));
  }
  // Takes longest.
  steps.sort((a, b) => Number(a.name === "stream") - Number(b.name === "stream"));
  const parameters = {
    ...{ quick, streamTokens, models },
    files: [...texts, ...latex].map(({ path, size }) => ({ path, bytes: size })),
  };
  await withResults(
    { out: work, ...(flags.restart ? { restart: true } : {}) },
    "reproduce",
    parameters,
    signal,
    async (results) => {
      const done: DoneStep[] = [];
      for (const [i, step] of steps.entries()) {
        await write(`\n${i + 1} of ${steps.length}: ${step.name} of ${step.model}\n`);
        done.push(await carryOut(step, results, flags, signal));
      }
      const evaluations = await Promise.all(models.map((model) => evaluationsOf(model, done, work)));
      const claims = evaluations.flatMap(claimsOf);
      await mkdir(join(out, "figures"), { recursive: true }).catch((error) => {
        throw unwritable(out, error);
      });
      for (const step of done) {
        for (const file of Object.keys(step.figures)) {
          await writeWhole(
            join(out, "figures", figureName(step, file)),
            await readFile(join(folderOf(step, work), file)),
          );
        }
      }
      const page = join(out, "RESULTS.md");
      const old = await readFile(page, "utf8").catch(() => undefined);
      await writeWhole(page, resultsPage(claims, done, commandLine(), old));
      await report(claims, page);
    },
  );
}

function folderOf({ model, name }: Step, work: string): string {
  return join(work, basename(model), name);
}

/** Runs a step as a command of its own, unless it is done; returns what it found. */
async function carryOut(step: Step, results: Results, flags: ReproduceFlags, signal: AbortSignal): Promise<DoneStep> {
  const unit = `${step.model} ${step.name}`;
  const folder = folderOf(step, flags.work);
  if (results.get(unit) === undefined) {
    const threads = flags.threads === undefined ? [] : ["--threads", `${flags.threads}`];
    await run([...step.args, "--out", folder, ...threads], signal);
    await results.keep(unit, true as Json);
  }
  const { verdict, run: more, parameters, ...facts } = await readJson(join(folder, `${step.json}.json`));
  return {
    ...step,
    verdict,
    facts: { ...facts, ...(parameters.dtype ? { dtype: facts.dtype ?? parameters.dtype } : {}), ...more },
  };
}

/** Runs one of our commands in its own process, with our outputs. */
async function run(args: readonly string[], signal: AbortSignal): Promise<void> {
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "inherit", "inherit"] });
  // Ctrl-C reaches the child as well; other signals may have been sent to us only.
  const stop = () => child.kill("SIGINT");
  signal.addEventListener("abort", stop);
  try {
    const code = await new Promise((resolve, reject) => child.on("exit", resolve).on("error", reject));
    signal.throwIfAborted();
    if (code !== 0) throw new LambentError(mismatch(`lambent ${args.join(" ")}`, "exit code 0", code));
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: our own files, whose shapes research/eval/evaluations.ts declares
async function readJson(path: string): Promise<any> {
  return JSON.parse(await readFile(path, "utf8"), (_, value) => (value === null ? Number.NaN : value));
}

async function evaluationsOf(model: string, steps: readonly DoneStep[], work: string): Promise<Evaluations> {
  const mine = steps.filter((step) => step.model === model);
  const found = await Promise.all(
    mine.map(async (step) => [step.name, await readJson(join(folderOf(step, work), `${step.json}.json`))] as const),
  );
  return { model, ...(Object.fromEntries(found) as unknown as Omit<Evaluations, "model">) };
}

/** Prints every claim; throws LambentError if an essential one does not agree. */
async function report(claims: readonly Claim[], page: string): Promise<void> {
  await write("\n");
  for (const { model, where, paper, found, agrees } of claims) {
    await write(`${agrees ? "agrees " : "differs"} ${basename(model)}, ${where}: ${paper}: ${found}\n`);
  }
  const broken = claims.filter(({ essential, agrees }) => essential && !agrees);
  const agreeing = claims.filter(({ agrees }) => agrees).length;
  await write(`\n${agreeing} of ${claims.length} claims of the paper agree; written to ${page}\n`);
  if (broken.length === 0) return;
  for (const { model, where, found } of broken) warn(`${model}, ${where}: ${found}`, "Λ-attention is broken: ");
  throw new LambentError(
    mismatch("reproduce", "Λ-attention to be correct", `${broken.length} of ${claims.length} claims that fail`),
  );
}
