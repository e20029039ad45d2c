import type { Served, Told } from "./engine_worker.ts";
import { LambentError, mismatch, OptionError, show } from "./errors.ts";
import type { Loaded, LoadOptions, LoadProgress } from "./load.ts";
import { tokenizerOf } from "./load_tokenizer.ts";
import { filesHandlers } from "./remote_files.ts";
import { Rpc } from "./rpc.ts";
import type { EngineThread, Runtime } from "./runtime/types.ts";
import type { Sampling } from "./sampler.ts";
import type { ChosenToken, EngineFacts, EngineService, Opened } from "./service.ts";
import type { TextState } from "./snapshot.ts";
import type { Files } from "./source.ts";

/** Workers whose models nobody has any more. */
const forgotten = new FinalizationRegistry<EngineThread>((thread) => thread.terminate());

/** Loads a model in a worker of its own. Throws LambentError if the worker ends meanwhile, and what loading throws. */
export async function loadRemotely(
  where: string | Files,
  { onProgress, signal, ...options }: LoadOptions,
  runtime: Runtime,
): Promise<Loaded> {
  if (!runtime.startEngine)
    throw new OptionError(mismatch("worker", `false, as ${runtime.name} starts no workers`, true));
  const thread = runtime.startEngine();
  const rpc = new Rpc(thread, typeof where === "string" ? {} : filesHandlers(where));
  thread.ended.then((reason) => {
    const end =
      reason === undefined ? "its end" : `its end: ${show(reason instanceof Error ? reason.message : reason)}`;
    rpc.end(new LambentError(mismatch("engine", "its worker at work", end)));
  });
  const place = typeof where === "string" ? runtime.locate(where) : { files: where.name };
  try {
    const onTell = (progress: LoadProgress) => onProgress?.(progress);
    const { facts, threads, texts, ...rest } = await rpc.call<Served>("load", [place, options], { signal, onTell });
    return { ...rest, service: new RemoteService(rpc, thread, facts, threads), tokenizer: tokenizerOf(texts) };
  } catch (error) {
    thread.terminate();
    throw error;
  }
}

/** An engine in a worker. When the worker ends, for whatever reason, every call ends with an error. */
class RemoteService implements EngineService {
  readonly facts: EngineFacts;
  readonly #rpc: Rpc;
  readonly #thread: EngineThread;
  readonly #sessions = new Map<number, Told>();
  #threads: number;

  constructor(rpc: Rpc, thread: EngineThread, facts: EngineFacts, threads: number) {
    this.facts = facts;
    this.#rpc = rpc;
    this.#thread = thread;
    this.#threads = threads;
    forgotten.register(this, thread, this);
  }

  get threads(): number {
    return this.#threads;
  }

  length(id: number): number {
    return this.#told(id).length;
  }

  seed(id: number): number {
    return this.#told(id).seed;
  }

  #told(id: number): Told {
    const told = this.#sessions.get(id);
    if (told) return told;
    throw new OptionError(mismatch("session", "one that is open", `number ${id}, which was disposed`));
  }

  async #call<T>(method: string, args: readonly unknown[], signal?: AbortSignal): Promise<T> {
    const onTell = (told: Told) => {
      this.#threads = told.threads;
      this.#sessions.set(told.id, told);
    };
    return this.#rpc.call<T>(method, args, { signal, onTell });
  }

  /** A call for a session that is open. */
  async #ask<T>(method: string, id: number, args: readonly unknown[] = [], signal?: AbortSignal): Promise<T> {
    this.#told(id);
    return this.#call<T>(method, [id, ...args], signal);
  }

  open(startPosition?: number, seed?: number): Promise<Opened> {
    return this.#call("open", [startPosition, seed]);
  }

  restore(snapshot: Uint8Array): Promise<Opened> {
    return this.#call("restore", [snapshot]);
  }

  fork(id: number): Promise<Opened> {
    return this.#ask("fork", id);
  }

  begin(id: number, seed: number | undefined): Promise<void> {
    return this.#ask("begin", id, [seed]);
  }

  append(id: number, tokens: readonly number[], signal?: AbortSignal): Promise<void> {
    return this.#ask("append", id, [tokens], signal);
  }

  next(id: number, sampling: Sampling): Promise<ChosenToken> {
    const { doSample, temperature, topK, topP, minP, repetitionPenalty } = sampling;
    return this.#ask("next", id, [{ doSample, temperature, topK, topP, minP, repetitionPenalty }]);
  }

  logits(id: number): Promise<Float32Array<ArrayBuffer> | undefined> {
    return this.#ask("logits", id);
  }

  snapshot(id: number, text: TextState): Promise<Uint8Array<ArrayBuffer>> {
    return this.#ask("snapshot", id, [text]);
  }

  dispose(id: number): void {
    if (!this.#sessions.delete(id)) return;
    // If the worker is gone, so is the session.
    this.#call("dispose", [id]).catch(() => {});
  }

  close(): void {
    forgotten.unregister(this);
    this.#sessions.clear();
    this.#rpc.end(new OptionError(mismatch("model", "one that is open", "one that was disposed of")));
    this.#thread.terminate();
  }
}
