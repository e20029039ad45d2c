import { LambentError, OptionError, show } from "../base/errors.ts";
import { Forgotten } from "../base/forgotten.ts";
import { messageOf } from "../base/realm.ts";
import type { Files } from "../base/source.ts";
import type { Appending } from "../engine/reading.ts";
import type { RecalledToken } from "../engine/recalled.ts";
import type { Choosing } from "../engine/sampler.ts";
import type { TextState } from "../engine/state.ts";
import { isLogged } from "../plan/middle.ts";
import type { EngineThread } from "../runtime/types.ts";
import { type RemoteFiles, serveFiles } from "./files.ts";
import { type CallOptions, Rpc, type Stream } from "./rpc.ts";
import type { Served, Told, ToldToken } from "./serve.ts";
import type {
  ChosenToken,
  EmbedOptions,
  EngineFacts,
  EngineService,
  Opened,
  OpenOptions,
  StartOptions,
  StreamOptions,
  TokenStream,
} from "./types.ts";

/** Workers whose models nobody has any more. */
const forgotten = new Forgotten<EngineThread>((thread) => thread.terminate());

/** An engine in a worker. When the worker ends, for whatever reason, every call ends with an error. */
export class RemoteService implements EngineService {
  readonly facts: EngineFacts;
  readonly #rpc: Rpc;
  readonly #thread: EngineThread;
  readonly #sessions = new Map<number, Told>();
  /** Those that their readers have not left. */
  readonly #streams = new Set<{ readonly id: number; readonly stream: Stream<ToldToken> }>();
  #threads: number;

  private constructor(rpc: Rpc, thread: EngineThread, { facts, threads }: Served<unknown>) {
    this.facts = facts;
    this.#rpc = rpc;
    this.#thread = thread;
    this.#threads = threads;
    forgotten.watch(this, thread);
  }

  /**
   * Has a worker load what `places`, the model's and those of what else it needs, and `options` say; Files are read by this
   * thread for it. Ends the worker if that fails. Throws LambentError if the worker ends meanwhile, and what its Loader throws.
   */
  static async load<T>(
    thread: EngineThread,
    places: readonly (string | Files)[],
    options: object,
    call: CallOptions,
  ): Promise<{ readonly service: RemoteService; readonly rest: T }> {
    const mine = places.filter((place) => typeof place !== "string");
    const files = serveFiles(mine);
    const rpc = new Rpc(thread, files.handlers);
    thread.ended.then((reason) => {
      const why = reason === undefined ? "" : `: ${show(messageOf(reason))}`;
      rpc.end(new LambentError(`the engine's worker ended${why}`));
    });
    const told = places.map((one): string | RemoteFiles => {
      return typeof one === "string" ? one : { place: mine.indexOf(one), files: one.name, file: one.file };
    });
    try {
      const served = await rpc.call<Served<T>>("load", [told, options], call);
      return { service: new RemoteService(rpc, thread, served), rest: served.rest };
    } catch (error) {
      thread.terminate();
      throw error;
    } finally {
      // What a worker closes by itself is closed already; it may have ended before.
      files.close();
    }
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
    throw new OptionError(`session ${id} was disposed`);
  }

  /** `of`: the session that is asked; what is told of it after its end is nothing that anybody wants to know. */
  async #call<T>(method: string, args: readonly unknown[], signal?: AbortSignal, of?: number): Promise<T> {
    return this.#rpc.call<T>(method, args, { signal, onTell: (told: Told) => this.#hear(told, of) });
  }

  #hear(told: Told, of: number | undefined): void {
    this.#threads = told.threads;
    if (told.id !== of || this.#sessions.has(of)) this.#sessions.set(told.id, told);
  }

  /** A call for a session that is open. */
  async #ask<T>(method: string, id: number, args: readonly unknown[] = [], signal?: AbortSignal): Promise<T> {
    this.#told(id);
    return this.#call<T>(method, [id, ...args], signal, id);
  }

  open({ signal, ...start }: StartOptions = {}): Promise<Opened> {
    return this.#call("open", [start], signal);
  }

  restore(snapshot: Uint8Array, { wait, signal }: OpenOptions = {}): Promise<Opened> {
    return this.#call("restore", [snapshot, wait], signal);
  }

  fork(id: number, { wait, signal }: OpenOptions = {}): Promise<Opened> {
    return this.#ask("fork", id, [wait], signal);
  }

  begin(id: number, seed: number | undefined, choosing: Choosing, newTokens?: number): Promise<void> {
    return this.#ask("begin", id, [seed, choosing, newTokens]);
  }

  append(id: number, tokens: readonly number[], signal?: AbortSignal, how?: Appending): Promise<void> {
    return this.#ask("append", id, [tokens, how], signal);
  }

  generate(id: number, { most, ahead }: StreamOptions): TokenStream {
    this.#told(id);
    const onTell = ({ told }: ToldToken) => this.#hear(told, id);
    const stream = this.#rpc.stream<ToldToken>("generate", [id], { most, ahead, onTell });
    const mine = { id, stream };
    this.#streams.add(mine);
    return {
      next: async () => {
        const { done, value } = await stream.next();
        if (!done) return { done: false, value: value.token };
        this.#told(id);
        return { done, value: undefined };
      },
      return: () => {
        this.#streams.delete(mine);
        return stream.return();
      },
    };
  }

  next(id: number, alone: Choosing, seed?: number): Promise<ChosenToken> {
    return this.#ask("next", id, [alone, seed]);
  }

  recalled(id: number): Promise<readonly RecalledToken[]> {
    return this.#ask("recalled", id);
  }

  logits(id: number): Promise<Float32Array<ArrayBuffer> | undefined> {
    return this.#ask("logits", id);
  }

  snapshot(id: number, text: TextState, pending = true): Promise<Uint8Array<ArrayBuffer>> {
    return this.#ask("snapshot", id, [text, pending]);
  }

  forget(snapshot: Uint8Array): void {
    // It may be large, and without logs there is nothing to do.
    if (isLogged(this.facts)) this.#call("forget", [snapshot]).catch(() => {});
  }

  embed(
    texts: readonly (readonly number[])[],
    { signal, onProgress, pooling, normalize, dimensions, wait }: EmbedOptions = {},
  ): Promise<Float32Array<ArrayBuffer>> {
    const onTell = (done: number) => onProgress?.(done, texts.length);
    return this.#rpc.call("embed", [texts, { pooling, normalize, dimensions, wait }], { signal, onTell });
  }

  dispose(id: number): void {
    if (!this.#sessions.delete(id)) return;
    // A reader that became garbage leaves here.
    for (const mine of this.#streams) {
      if (mine.id !== id) continue;
      this.#streams.delete(mine);
      void mine.stream.return();
    }
    // If the worker is gone, so is the session.
    this.#call("dispose", [id]).catch(() => {});
  }

  memory(): Promise<number> {
    return this.#call("memory", []);
  }

  close(): void {
    forgotten.ignore(this);
    this.#sessions.clear();
    this.#rpc.end(new OptionError("the model was disposed"));
    this.#thread.terminate();
  }
}
