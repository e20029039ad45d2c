import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { shownPlace } from "../sources/address.ts";
import { type BatchLine, batchLines, indexOf, keyOf } from "./batch_lines.ts";
import { type Answering, answerHere } from "./batch_model.ts";
import { type AnsweringFlags, answeringOptions, batchModel, namesOf } from "./batch_options.ts";
import { QueuedBatch } from "./batch_queue.ts";
import { BatchResults } from "./batch_results.ts";
import { BatchWorkers } from "./batch_workers.ts";
import { whole } from "./options.ts";
import { Progress, Stages } from "./progress.ts";
import { warn } from "./streams.ts";

interface BatchFlags extends AnsweringFlags {
  readonly out?: string;
  readonly workers: number;
  readonly queue?: string;
}

const HELP = `
Each line of the file is a request in OpenAI's format:
  {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": […]}}
The routes are /v1/chat/completions, /v1/responses, /v1/completions and /v1/embeddings. Results are lines as well, in
the order in which they are done. A command that was interrupted, given again, goes on. With --queue no model is loaded
here: workers of a model of the same name answer, and where one of them ends another takes what it had.`;

/** Adds the command `batch`; `signal` aborts it. */
export function addBatch(program: Command, signal: AbortSignal): void {
  const command = program
    .command("batch")
    .description("answer a file of requests, as OpenAI's batches are")
    .argument("<file>", "requests, one per line (.jsonl)")
    .option("--out <file>", "results (default: the file's name with .output.jsonl)");
  answeringOptions(command)
    .option("--workers <n>", "processes, each with a model of its own; 1: this one", whole(1, 1024), 1)
    .option("--queue <place>", "let `lambent batch-worker` answer, on any machines: redis://… or postgres://…")
    .addHelpText("after", HELP)
    .action((file: string, flags: BatchFlags) => batch(file, flags, signal));
}

async function batch(file: string, flags: BatchFlags, signal: AbortSignal): Promise<void> {
  const keys = await indexOf(file);
  const out = flags.out ?? `${file.replace(/\.jsonl$/, "")}.output.jsonl`;
  const results = await BatchResults.open(out, keys);
  const progress = new Progress("answering");
  try {
    if (results.size === keys.size) warn("nothing is left to answer (--out names another file)", "");
    else await answerAll(file, flags, results, progress, keys.size, signal);
  } finally {
    progress.end();
    await results.close();
    const { size, failed } = results;
    if (size < keys.size)
      warn(`${size} of ${keys.size} results are in ${out}; the same command goes on from there`, "");
    else warn(`${size} results${failed > 0 ? `, ${failed} of them errors,` : ""} are in ${out}`, "");
  }
}

/** Answers what has no result yet. */
async function answerAll(
  file: string,
  flags: BatchFlags,
  results: BatchResults,
  progress: Progress,
  total: number,
  signal: AbortSignal,
): Promise<void> {
  const answering = await start(flags, signal);
  const settle = async (line: BatchLine): Promise<void> => {
    const { asked } = line;
    await results.add(line, "code" in asked ? asked : await answering.answer(asked));
    progress.update(results.size, total);
  };
  try {
    const running = new Set<Promise<void>>();
    for await (const line of batchLines(file)) {
      if (results.has(keyOf(line))) continue;
      while (running.size >= answering.most) await Promise.race(running);
      signal.throwIfAborted();
      const settled: Promise<void> = settle(line).finally(() => running.delete(settled));
      settled.catch(() => {}); // the race rejects
      running.add(settled);
    }
    await Promise.all(running);
  } finally {
    answering.close();
  }
}

/** A model in this process, several in others, or those of a queue. */
async function start(flags: BatchFlags, signal: AbortSignal): Promise<Answering> {
  if (flags.queue !== undefined) return startQueue(flags.queue, flags, signal);
  const { workers } = flags;
  const stages = new Stages();
  const model = await batchModel(flags, signal, stages);
  if (workers === 1) {
    const here = await answerHere(model, signal);
    stages.end();
    for (const warning of here.warnings) warn(warning);
    return here;
  }
  const { signal: _, onProgress: __, ...plain } = model.loading;
  const threads = flags.threads ?? Math.max(1, Math.floor(availableParallelism() / workers));
  const pool = new BatchWorkers(workers, { ...model, loading: { ...plain, threads } });
  signal.addEventListener("abort", () => pool.close(signal.reason), { once: true });
  return pool;
}

async function startQueue(place: string, flags: BatchFlags, signal: AbortSignal): Promise<Answering> {
  const [name] = namesOf(flags);
  const queued = await QueuedBatch.open(place, name);
  signal.addEventListener("abort", () => queued.close(signal.reason), { once: true });
  if ((await queued.workers()) === 0) {
    warn(`nothing answers requests for ${name} there yet: lambent batch-worker --queue ${shownPlace(place)} does`);
  }
  return queued;
}
