/** Requests of a batch in a queue, for workers on any machine. see: https://docs.bullmq.io */
import { createHash } from "node:crypto";
import type { BackendClasses, IQueueBackend } from "bullmq";
import { LambentError } from "../base/errors.ts";
import { type BatchRequest, isRequest } from "./batch_lines.ts";
import type { Answering } from "./batch_model.ts";
import type { Outcome } from "./batch_results.ts";
import { MOST_ENDS } from "./batch_workers.ts";
import { byScheme, needed, postgresAt, redisAt, unusable } from "./connections.ts";
import { warn } from "./streams.ts";

/** Requests of one batch that are in the queue at once. */
const MOST_QUEUED = 1000;
/** How often results are looked for, in ms. */
const LOOK_MS = 200;
/** A worker that is not heard of for so long has ended, in ms; another one then takes what it had. */
const SILENCE_MS = 10_000;
/** How long results stay that no batch has fetched, in seconds. */
const KEPT_SECONDS = 7 * 86_400;

/** The queue of a model's requests in a database, and what ends the connection. */
type Place = Awaited<ReturnType<typeof openPlace>>;

/** Opens the queue of the requests for the model of a name. Throws LambentError if the database does not answer. */
async function openPlace(place: string, model: string) {
  const open = byScheme("--queue", place, BY_SCHEME);
  try {
    return await open(place, `lambent-${model.replaceAll(/[^\w.-]/g, "_")}`);
  } catch (error) {
    throw unusable("--queue", place, "a database that answers", error);
  }
}

const BY_SCHEME = { redis: onRedis, rediss: onRedis, postgres: onPostgres, postgresql: onPostgres };

const bullmq = () => needed("--queue", "bullmq", () => import("bullmq"));

async function onRedis(place: string, name: string) {
  const { withBackend, createRedisBackend } = await bullmq();
  // A call waits while there is no connection, as BullMQ wants it.
  const connection = await redisAt("--queue", place, { maxRetriesPerRequest: null });
  return over(withBackend(createRedisBackend), name, connection, async () => connection.disconnect());
}

async function onPostgres(place: string, name: string) {
  const { withBackend, createPostgresBackend } = await bullmq();
  // BullMQ makes connections of its own, and says nothing where it cannot.
  const pool = await postgresAt("--queue", place);
  await pool.query("select").finally(() => pool.end());
  return over(withBackend(createPostgresBackend), name, { connectionString: place, migrate: true }, async () => {});
}

function over<B extends IQueueBackend, C>(
  { Queue, Worker }: BackendClasses<B, C>,
  name: string,
  connection: C,
  close: () => Promise<unknown>,
) {
  return {
    queue: () => new Queue<BatchRequest, Outcome>(name, { connection }),
    worker: (concurrency: number, answer: (request: BatchRequest) => Promise<Outcome>) => {
      return new Worker<BatchRequest, Outcome>(name, ({ data }) => answer(data), {
        ...{ connection, concurrency, lockDuration: SILENCE_MS, stalledInterval: SILENCE_MS / 2 },
        maxStalledCount: MOST_ENDS - 1,
      });
    },
    close,
  };
}

/** Says what goes wrong with a connection, each once: it is tried again. */
function once(): (error: Error) => void {
  const said = new Set<string>();
  return ({ message }) => {
    if (!said.has(message)) warn(`--queue: ${message}`);
    said.add(message);
  };
}

interface Waiting {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Workers elsewhere that answer a batch. A request's name in the queue is made of the request, so that a batch which is
 * given again finds its results.
 */
export class QueuedBatch implements Answering {
  readonly most = MOST_QUEUED;
  readonly #place: Place;
  readonly #queue: ReturnType<Place["queue"]>;
  /** By the name of the request, which several lines may share. */
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #hear = once();
  #looking = false;
  #closed: unknown;

  private constructor(place: Place) {
    this.#place = place;
    this.#queue = place.queue();
    this.#queue.on("error", this.#hear);
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** Throws LambentError if the database does not answer, or the package for it is missing. */
  static async open(place: string, model: string): Promise<QueuedBatch> {
    return new QueuedBatch(await openPlace(place, model));
  }

  /** How many workers there are. */
  workers(): Promise<number> {
    return this.#queue.getWorkersCount();
  }

  answer(request: BatchRequest): Promise<Outcome> {
    const jobId = createHash("sha256").update(JSON.stringify(request)).digest("hex");
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      const waiting = this.#waiting.get(jobId);
      if (waiting) return void waiting.push({ resolve, reject });
      this.#waiting.set(jobId, [{ resolve, reject }]);
      const kept = { age: KEPT_SECONDS };
      const options = { jobId, removeOnComplete: kept, removeOnFail: kept };
      this.#queue.add("request", request, options).catch((error) => this.close(error));
    });
  }

  close(reason: unknown = new LambentError("the batch was closed")): void {
    this.#closed ??= reason;
    clearInterval(this.#timer);
    for (const waiting of this.#waiting.values()) for (const { reject } of waiting) reject(this.#closed);
    this.#waiting.clear();
    void this.#queue
      .close()
      .catch(() => {})
      .then(this.#place.close);
  }

  /** Takes the results that are there. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      for (const job of await this.#queue.getJobs(["completed", "failed"], 0, MOST_QUEUED)) {
        const waiting = this.#waiting.get(job?.id ?? "");
        if (!waiting) continue;
        const outcome = job.failedReason ? { code: "worker_failed", message: job.failedReason } : job.returnvalue;
        this.#waiting.delete(job.id!);
        for (const { resolve } of waiting) resolve(outcome);
        await job.remove();
      }
    } catch (error) {
      this.#hear(error as Error);
    } finally {
      this.#looking = false;
    }
  }
}

/** A queue that this process answers requests of. */
export class AnsweredQueue {
  readonly #place: Place;

  private constructor(place: Place) {
    this.#place = place;
  }

  /** Throws LambentError if the database does not answer, or the package for it is missing. */
  static async open(place: string, model: string): Promise<AnsweredQueue> {
    return new AnsweredQueue(await openPlace(place, model));
  }

  /** Answers until `end`, as many at once as `answering` does; what is being answered then is finished. */
  async answer(answering: Answering, end: Promise<void>): Promise<void> {
    const worker = this.#place.worker(answering.most, async (request) => {
      if (!isRequest(request)) throw new Error("expected a request of a batch, found something else");
      return answering.answer(request);
    });
    worker.on("error", once());
    await end;
    await worker.close();
  }

  close(): Promise<unknown> {
    return this.#place.close();
  }
}
