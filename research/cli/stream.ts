import { readdir, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Command } from "commander";
import { LambentError, ModelError, mismatch, OptionError } from "../../src/base/errors.ts";
import { quantity } from "../../src/cli/options.ts";
import { Stages } from "../../src/cli/progress.ts";
import { warn, write } from "../../src/cli/streams.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { LocalService } from "../../src/service/local.ts";
import { modelInfo } from "../../src/session/model.ts";
import { type Corpus, Stream, type StreamState, type Tally } from "../eval/stream.ts";
import { type EvalFlags, evalOptions } from "./options.ts";
import { csv, type Json, Results } from "./results.ts";
import { HEADER, type Interval, line, plotOf, row, verdict } from "./stream_report.ts";
import { type Subject, withSubject } from "./subject.ts";
import { type TextFile, textFiles } from "./texts.ts";

const NAME = "stream";
/** By default a checkpoint is due after this many tokens or this much time; it takes at most this share of the time. */
const CHECKPOINT_TOKENS = 100_000;
const CHECKPOINT_SECONDS = 60;
const CHECKPOINT_SHARE = 0.05;

interface StreamFlags extends EvalFlags {
  readonly tokens: number;
  readonly reportEvery?: number;
  readonly checkpointEvery?: number;
}

/** The content of a checkpoint: the state of the stream, and what has ended since the checkpoint before. */
interface Checkpoint {
  /** The file of the session's snapshot. */
  readonly snapshot: string;
  readonly state: StreamState;
  /** Seconds that the interval has taken so far. */
  readonly seconds: number;
  readonly intervals: readonly Interval[];
  readonly rounds: readonly Tally[];
}

export function addStream(evaluation: Command, signal: AbortSignal): void {
  evalOptions(evaluation.command(NAME), NAME)
    .description("read one unbroken stream of shuffled documents in one session: NLL, speed and memory as it goes")
    .option("--tokens <n>", "length of the stream, such as 1000000 or 200M", quantity, 1_000_000)
    .option("--report-every <n>", "tokens per record (default: a hundredth of the stream)", quantity)
    .option(
      "--checkpoint-every <n>",
      `tokens between checkpoints (default: a minute of work, at most ${CHECKPOINT_TOKENS})`,
      quantity,
    )
    .addHelpText(
      "after",
      `
Every document is read whole, after BOS, in an order that is reshuffled whenever all have been read; the session is never
restarted. Texts are tokenised in pieces of at most 16 KiB, cut after lines. A record has the mean NLL of the tokens of its
interval in nats, BOS included; only the stream's first token has none.

If it is killed, the same command resumes from the last checkpoint, with the results of an uninterrupted run.`,
    )
    .action((flags: StreamFlags) => stream(flags, signal));
}

async function stream(flags: StreamFlags, signal: AbortSignal): Promise<void> {
  const files = await textFiles(flags.text);
  const stages = new Stages();
  await withSubject(flags, signal, stages, async (subject) => {
    const { maxPositions, attention } = subject.plan({}).plan.policy;
    if (flags.tokens > maxPositions) {
      const expected = `at most ${maxPositions} under ${attention} attention (--max-positions)`;
      throw new OptionError(mismatch("tokens", expected, flags.tokens));
    }
    const engine = await subject.engine({ observe: { nll: true }, maxSessions: 1 });
    const every = flags.reportEvery ?? Math.ceil(flags.tokens / 100);
    const parameters = parametersOf(flags, subject, engine, files, every);
    const results = await Results.open(flags.out, NAME, parameters, flags.restart);
    const run = await Run.open(engine, corpusOf(subject, files, flags.seed), results, flags, every);
    try {
      if (await run.toEnd(stages, signal)) await report(results, parameters, run, subject);
    } finally {
      stages.end();
      run.dispose();
      await results.close();
    }
  });
}

/** Everything that the results depend on; threads, kernels and checkpoints are not included. */
function parametersOf(
  flags: StreamFlags,
  subject: Subject,
  engine: Engine,
  files: readonly TextFile[],
  reportEvery: number,
): { readonly [key: string]: Json } {
  const { model, modelType, dtype, cacheDtype, attention, ...info } = modelInfo(
    subject.name,
    "",
    new LocalService(engine),
  );
  const { nGlobal, nLocal, limit, maxPositions } = info;
  return {
    lambent: subject.facts.lambent as string,
    model,
    modelType,
    modelHash: engine.modelHash.toString(16).padStart(16, "0"),
    ...{ dtype, cacheDtype, attention, nGlobal, nLocal, limit, maxPositions },
    seed: flags.seed,
    tokens: flags.tokens,
    reportEvery,
    texts: files.map(({ path, size }) => ({ path, bytes: size })),
  };
}

function corpusOf({ tokenizer, bos }: Subject, files: readonly TextFile[], seed: number): Corpus {
  return {
    documents: files.length,
    read: (document, offset) => (files[document] as TextFile).piece(offset),
    encode: (text) => tokenizer.encode(text, { addSpecialTokens: false }),
    bos,
    seed,
  };
}

/** A stream, and what it leaves on disk. */
class Run {
  readonly intervals: Interval[];
  readonly rounds: Tally[];
  readonly #stream: Stream;
  readonly #results: Results;
  readonly #flags: StreamFlags;
  /** Checkpoints in the journal, and the intervals and rounds in them. */
  #checkpoints: number;
  #kept: { readonly intervals: number; readonly rounds: number };
  /** Seconds of the interval, up to #since. */
  #seconds: number;
  #since = performance.now();

  private constructor(stream: Stream, results: Results, flags: StreamFlags, kept: readonly Checkpoint[]) {
    this.#stream = stream;
    this.#results = results;
    this.#flags = flags;
    this.intervals = kept.flatMap(({ intervals }) => intervals);
    this.rounds = kept.flatMap(({ rounds }) => rounds);
    this.#checkpoints = kept.length;
    this.#kept = { intervals: this.intervals.length, rounds: this.rounds.length };
    this.#seconds = kept.at(-1)?.seconds ?? 0;
  }

  /** Starts, or resumes from the last checkpoint. Throws LambentError if that is damaged. */
  static async open(engine: Engine, corpus: Corpus, results: Results, flags: StreamFlags, every: number): Promise<Run> {
    const kept: Checkpoint[] = [];
    for (let found = results.get("0"); found !== undefined; found = results.get(`${kept.length}`)) {
      kept.push(found as unknown as Checkpoint);
    }
    const lengths = { length: flags.tokens, every };
    const last = kept.at(-1);
    if (!last) return new Run(new Stream(engine, corpus, lengths), results, flags, kept);
    const path = join(results.scratch, last.snapshot);
    const snapshot = await readFile(path).catch((error) => {
      throw new LambentError(mismatch(path, "the snapshot of the last checkpoint (--restart starts over)", error.code));
    });
    try {
      const stream = new Stream(engine, corpus, lengths, { snapshot, state: last.state });
      return new Run(stream, results, flags, kept);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      throw new LambentError(`${path}: ${error.message} (--restart starts over)`);
    }
  }

  /** Reads the stream to its end and returns true. If interrupted, it keeps its state and returns false. */
  async toEnd(stages: Stages, signal: AbortSignal): Promise<boolean> {
    const { tokens, checkpointEvery } = this.#flags;
    const stream = this.#stream;
    await write(`${HEADER}\n${this.intervals.map((interval) => `${line(interval)}\n`).join("")}`);
    let last = { position: stream.position, time: performance.now(), took: 0 };
    this.#since = last.time;
    while (!stream.done) {
      const { interval, round } = await stream.step();
      if (round) this.rounds.push(round);
      if (interval) {
        stages.end();
        await this.#report(interval);
      }
      stages.update("reading the stream", stream.position, tokens);
      const read = stream.position - last.position;
      const seconds = (performance.now() - last.time) / 1000;
      const due =
        checkpointEvery === undefined
          ? read >= CHECKPOINT_TOKENS || seconds >= Math.max(CHECKPOINT_SECONDS, last.took / CHECKPOINT_SHARE)
          : read >= checkpointEvery;
      if (signal.aborted || (due && !stream.done)) {
        const begun = performance.now();
        await this.#checkpoint();
        last = { position: stream.position, time: performance.now(), took: (performance.now() - begun) / 1000 };
      }
      if (signal.aborted) {
        stages.end();
        warn(`${stream.position} of ${tokens} tokens are kept: the same command goes on from there`, "");
        return false;
      }
    }
    return true;
  }

  dispose(): void {
    this.#stream.dispose();
  }

  async #report(tally: Tally): Promise<void> {
    const now = performance.now();
    const interval: Interval = {
      position: this.#stream.position,
      ...tally,
      seconds: this.#seconds + (now - this.#since) / 1000,
      residentBytes: process.memoryUsage.rss(),
      wasmBytes: this.#stream.wasmBytes,
    };
    this.#seconds = 0;
    this.#since = now;
    this.intervals.push(interval);
    await write(`${line(interval)}\n`);
  }

  /**
   * Writes a checkpoint. The line in the journal makes it valid, and is written after the snapshot that it names; the
   * checkpoint before is kept until then.
   */
  async #checkpoint(): Promise<void> {
    const { snapshot, state } = this.#stream.checkpoint();
    const file = `snapshot-${state.position}.safetensors`;
    await this.#results.write(join(basename(this.#results.scratch), file), snapshot);
    const now = performance.now();
    this.#seconds += (now - this.#since) / 1000;
    this.#since = now;
    const checkpoint: Checkpoint = {
      snapshot: file,
      state,
      seconds: this.#seconds,
      intervals: this.intervals.slice(this.#kept.intervals),
      rounds: this.rounds.slice(this.#kept.rounds),
    };
    await this.#results.keep(`${this.#checkpoints++}`, checkpoint as unknown as Json);
    this.#kept = { intervals: this.intervals.length, rounds: this.rounds.length };
    for (const name of await readdir(this.#results.scratch)) {
      if (name.startsWith("snapshot-") && name !== file) await rm(join(this.#results.scratch, name));
    }
  }
}

async function report(
  results: Results,
  parameters: { readonly [key: string]: Json },
  { intervals, rounds }: Run,
  { facts: { command, runtime, kernels, threads }, name }: Subject,
): Promise<void> {
  const conclusion = verdict(intervals, rounds);
  const run = { runtime, kernels, threads };
  const json = { command, parameters, run, verdict: conclusion, intervals: intervals.map(row), rounds };
  const subject = `${basename(name)}, ${parameters.attention}`;
  await results.write(`${NAME}.json`, `${JSON.stringify(json, undefined, 1)}\n`);
  await results.write(`${NAME}.csv`, csv(intervals.map(row)));
  await results.write(`${NAME}.svg`, await plotOf(intervals, subject, command as string));
  await results.end();
  await write(`${conclusion}\n`);
}
