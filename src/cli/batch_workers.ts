import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { LambentError } from "../base/errors.ts";
import type { BatchRequest } from "./batch_lines.ts";
import type { Answering, BatchModel } from "./batch_model.ts";
import type { Outcome } from "./batch_results.ts";
import { warn } from "./streams.ts";

/** What a worker process is told: the model first, then requests. */
export type ToWorker = { readonly model: BatchModel } | { readonly number: number; readonly request: BatchRequest };

/** What it tells: that the model is loaded, or cannot be; then outcomes. */
export type FromWorker =
  | { readonly warnings: readonly string[] }
  | { readonly failed: string }
  | { readonly number: number; readonly outcome: Outcome };

/** A request after so many ends of processes is answered alone, so that others are not at fault with it. */
const SUSPECT = 2;
/** After so many its result is an error; and so many processes that end while they load end the batch. */
export const MOST_ENDS = 3;

const CODE = fileURLToPath(new URL("./batch_worker.ts", import.meta.url));

interface Job {
  readonly number: number;
  readonly request: BatchRequest;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
  /** Processes that have ended while they had it. */
  ends: number;
}

/** A process, and what it works on. */
interface Worker {
  readonly process: ChildProcess;
  readonly jobs: Map<number, Job>;
  ready: boolean;
}

/**
 * Processes that answer a batch, each with a model of its own. What a process had when it ended is done by another one,
 * which takes its place.
 */
export class BatchWorkers implements Answering {
  readonly most: number;
  readonly #model: BatchModel;
  readonly #workers = new Set<Worker>();
  readonly #warned = new Set<string>();
  #queue: Job[] = [];
  #numbers = 0;
  /** Processes that ended while they loaded, one after the other. */
  #unready = 0;
  /** Why there are no more. */
  #closed: unknown;

  constructor(count: number, model: BatchModel) {
    this.most = count * model.parallel;
    this.#model = model;
    for (let i = 0; i < count; i++) this.#start();
  }

  /** Rejects if no process can load the model, and once it is closed. */
  answer(request: BatchRequest): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      this.#queue.push({ number: this.#numbers++, request, resolve, reject, ends: 0 });
      this.#deal();
    });
  }

  close(reason: unknown = new LambentError("the batch was closed")): void {
    this.#closed ??= reason;
    for (const { process, jobs } of this.#workers) {
      process.kill("SIGKILL");
      this.#queue.push(...jobs.values());
    }
    this.#workers.clear();
    for (const { reject } of this.#queue.splice(0)) reject(this.#closed);
  }

  #start(): void {
    const process = fork(CODE, [], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    const worker: Worker = { process, jobs: new Map(), ready: false };
    this.#workers.add(worker);
    process.on("message", (message) => this.#hear(worker, message as FromWorker));
    process.once("exit", (code, signal) => this.#ended(worker, signal ?? `exit code ${code}`));
    process.on("error", () => {}); // "exit" comes as well, or the next message fails
    process.send({ model: this.#model } satisfies ToWorker);
  }

  #hear(worker: Worker, message: FromWorker): void {
    if ("failed" in message) this.close(new LambentError(message.failed));
    else if ("warnings" in message) {
      for (const text of message.warnings) if (!this.#warned.has(text)) warn(text);
      for (const text of message.warnings) this.#warned.add(text);
      worker.ready = true;
      this.#unready = 0;
    } else {
      const job = worker.jobs.get(message.number);
      worker.jobs.delete(message.number);
      job?.resolve(message.outcome);
    }
    this.#deal();
  }

  /** Another one takes its place, and its requests come first. */
  #ended(worker: Worker, why: string): void {
    if (!this.#workers.delete(worker)) return;
    if (!worker.ready && ++this.#unready >= MOST_ENDS) {
      this.close(new LambentError(`${MOST_ENDS} worker processes ended while they loaded the model: ${why}`));
      return;
    }
    const again: Job[] = [];
    for (const job of worker.jobs.values()) {
      if (++job.ends < MOST_ENDS) again.push(job);
      else job.resolve({ code: "worker_ended", message: `${MOST_ENDS} processes ended with this request: ${why}` });
    }
    this.#queue.unshift(...again);
    this.#start();
  }

  #deal(): void {
    for (const { process, jobs, ready } of this.#workers) {
      for (let job = ready ? this.#next(jobs) : undefined; job; job = this.#next(jobs)) {
        jobs.set(job.number, job);
        process.send({ number: job.number, request: job.request } satisfies ToWorker, () => {});
      }
    }
  }

  /** What a process with these jobs gets as well. */
  #next(jobs: ReadonlyMap<number, Job>): Job | undefined {
    const alone = ({ ends }: Job) => ends >= SUSPECT;
    if (jobs.size >= this.#model.parallel || [...jobs.values()].some(alone)) return undefined;
    const at = this.#queue.findIndex((job) => jobs.size === 0 || !alone(job));
    return at < 0 ? undefined : this.#queue.splice(at, 1)[0];
  }
}
