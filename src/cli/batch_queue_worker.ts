import type { Command } from "commander";
import { shownPlace } from "../sources/address.ts";
import { answerHere } from "./batch_model.ts";
import { type AnsweringFlags, answeringOptions, batchModel, namesOf } from "./batch_options.ts";
import { AnsweredQueue } from "./batch_queue.ts";
import { untilEnd } from "./ending.ts";
import { type OpenStore, openStore } from "./open_store.ts";
import { real } from "./options.ts";
import { Stages } from "./progress.ts";
import { warn } from "./streams.ts";

interface WorkerFlags extends AnsweringFlags {
  readonly queue: string;
  readonly keepSeconds: number;
}

/** Adds the command `batch-worker`; `signal` ends it, as SIGTERM does. */
export function addBatchWorker(program: Command, signal: AbortSignal): void {
  const command = program
    .command("batch-worker")
    .description("answer requests that `batch --queue` puts into a queue, beside workers on other machines")
    .requiredOption("--queue <place>", "the queue, at redis://… or postgres://…");
  answeringOptions(command)
    .option(
      "--keep-seconds <s>",
      "save unfinished answers there this often, so that another worker goes on; 0: never",
      real(0),
      10,
    )
    .action((flags: WorkerFlags) => work(flags, signal));
}

async function work(flags: WorkerFlags, signal: AbortSignal): Promise<void> {
  const [name] = namesOf(flags);
  const queue = await AnsweredQueue.open(flags.queue, name);
  let kept: OpenStore | undefined;
  try {
    kept = flags.keepSeconds > 0 ? await openStore(flags.queue, "--queue") : undefined;
    const stages = new Stages();
    const model = await batchModel(flags, signal, stages);
    // The engine is in a worker, so that the queue hears of this process while steps run.
    const loading = { ...model.loading, worker: true };
    const keeping = kept && { answers: kept.store, answerSeconds: flags.keepSeconds };
    const answering = await answerHere({ ...model, loading }, undefined, keeping);
    stages.end();
    for (const warning of answering.warnings) warn(warning);
    warn(`answering requests for ${name} at ${shownPlace(flags.queue)}`, "");
    const end = untilEnd(signal).then(() => warn("finishing what is being answered", ""));
    await queue.answer(answering, end);
    answering.close();
  } finally {
    await kept?.close();
    await queue.close();
  }
}
