import { mismatch, OptionError } from "../base/errors.ts";
import type { StringTable } from "../base/string_table.ts";
import { POOLINGS } from "../engine/embed.ts";
import type { Engine } from "../engine/engine.ts";
import type { Appending } from "../engine/reading.ts";
import type { RecalledToken } from "../engine/recalled.ts";
import type { Choosing } from "../engine/sampler.ts";
import type { Waited } from "../engine/slots.ts";
import { dtypesOf, restoreSnapshot, takeSnapshot } from "../engine/snapshot.ts";
import { lengthOf, type TextState } from "../engine/state.ts";
import { hex } from "../machine/hash.ts";
import { hiddenSize } from "../models/program.ts";
import { embedAll } from "./embedding.ts";
import type { Grammars } from "./grammars.ts";
import type {
  ChosenToken,
  EmbedOptions,
  EngineFacts,
  EngineService,
  Opened,
  OpenOptions,
  StartOptions,
  StreamOptions,
} from "./types.ts";

/** An engine in this thread. */
export class LocalService implements EngineService {
  readonly facts: EngineFacts;
  readonly #sessions = new Set<number>();
  /** End the waiting for a slot. No AbortController: in workerd, one of another request may not be touched. */
  readonly #leaves = new Set<(reason: unknown) => void>();
  readonly #tokens: (() => StringTable) | undefined;
  #grammars: Grammars | undefined;
  #closed: OptionError | undefined;
  #engine: Engine | undefined;
  #threads: number;

  /** @param tokens the bytes of every token by id, for what asks for a format */
  constructor(engine: Engine, tokens?: () => StringTable) {
    this.facts = factsOf(engine);
    this.#tokens = tokens;
    this.#engine = engine;
    this.#threads = engine.threads;
  }

  get threads(): number {
    // Who prints what a model was may do so after its end.
    this.#threads = this.#engine?.threads ?? this.#threads;
    return this.#threads;
  }

  get #open(): Engine {
    if (this.#closed) throw this.#closed;
    return this.#engine as Engine;
  }

  /** Whether a session is open. */
  has(id: number): boolean {
    try {
      return this.#open.known(id) !== undefined;
    } catch {
      return false;
    }
  }

  length(id: number): number {
    return lengthOf(this.#open.known(id));
  }

  seed(id: number): number {
    return this.#open.known(id).random.seed;
  }

  async open(options: StartOptions = {}): Promise<Opened> {
    const { startPosition, seed, nGlobal } = options;
    return this.#opening(options, (engine) => ({ id: engine.open(startPosition, seed, nGlobal) }));
  }

  async restore(snapshot: Uint8Array, options: OpenOptions = {}): Promise<Opened> {
    return this.#opening(options, (engine) => restoreSnapshot(engine, snapshot, options.signal));
  }

  async fork(id: number, options: OpenOptions = {}): Promise<Opened> {
    return this.#opening(options, (engine) => ({ id: engine.fork(id) }));
  }

  async #opening(
    { wait = false, signal }: OpenOptions,
    open: (engine: Engine) => Opened | Promise<Opened>,
  ): Promise<Opened> {
    const engine = this.#open;
    signal?.throwIfAborted();
    const work = () => open(engine);
    const opened = await (wait ? this.#waiting(engine.slots.whenFree(work), signal) : work());
    this.#sessions.add(opened.id);
    // Its slot may have become free by the end of the model.
    if (this.#closed) {
      engine.dispose(opened.id);
      throw this.#closed;
    }
    return opened;
  }

  async #waiting({ done, leave }: Waited<Opened | Promise<Opened>>, signal: AbortSignal | undefined): Promise<Opened> {
    const abort = () => leave(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    this.#leaves.add(leave);
    try {
      return await done;
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#leaves.delete(leave);
    }
  }

  async begin(id: number, seed: number | undefined, choosing: Choosing, newTokens?: number): Promise<void> {
    const { responseFormat, stopTokens } = choosing;
    const grammar = responseFormat && (await this.#formats()).of(responseFormat, stopTokens);
    this.#open.begin(id, seed, choosing, grammar, newTokens);
  }

  /** Most texts have no format: what compiles one is imported with the first that has. */
  async #formats(): Promise<Grammars> {
    const { Grammars } = await import("./grammars.ts");
    this.#grammars ??= new Grammars(this.#tokens);
    return this.#grammars;
  }

  async append(id: number, tokens: readonly number[], signal?: AbortSignal, how?: Appending): Promise<void> {
    return this.#open.append(id, tokens, signal, how);
  }

  async *generate(id: number, { most }: Pick<StreamOptions, "most">): AsyncGenerator<ChosenToken, void, undefined> {
    for (let i = 0; i < most; i++) yield await this.next(id);
  }

  async next(id: number, alone?: Choosing, seed?: number): Promise<ChosenToken> {
    const { hash } = this.#open.state(id);
    if (seed !== undefined) this.#open.reseed(id, seed);
    const token = await this.#open.next(id, alone);
    return { ...token, logitsHash: hash.hex() };
  }

  async logits(id: number): Promise<Float32Array<ArrayBuffer> | undefined> {
    const state = this.#open.state(id);
    return state.hasLogits && state.pending < 0 ? new Float32Array(this.#open.logits(state)) : undefined;
  }

  async snapshot(id: number, text: TextState, pending = true): Promise<Uint8Array<ArrayBuffer>> {
    const state = this.#open.settled(id);
    return takeSnapshot(this.#open, pending ? state : { ...state, pending: -1 }, text);
  }

  forget(snapshot: Uint8Array): void {
    this.#engine?.logs?.forget(snapshot);
  }

  async recalled(id: number): Promise<readonly RecalledToken[]> {
    return this.#open.state(id).recalled.tokens;
  }

  async embed(texts: readonly (readonly number[])[], options: EmbedOptions = {}): Promise<Float32Array<ArrayBuffer>> {
    const size = hiddenSize(this.#open.program);
    const { pooling = "last", normalize = true, dimensions = size, onProgress, signal } = options;
    if (!POOLINGS.includes(pooling))
      throw new OptionError(mismatch("pooling", `one of ${POOLINGS.join(", ")}`, pooling));
    if (!Number.isInteger(dimensions) || dimensions < 1 || dimensions > size)
      throw new OptionError(mismatch("dimensions", `a whole number from 1 to ${size}, the model's size`, dimensions));
    for (const [i, text] of texts.entries()) {
      if (text.length === 0) throw new OptionError(mismatch(`text ${i}`, "at least one token", "none"));
    }
    const open = (engine: Engine): Opened => ({ id: engine.borrow() });
    const { id } = await this.#opening(options, open);
    const engine = this.#open;
    const another = (): number | undefined => {
      if (!engine.slots.free) return undefined;
      const { id } = open(engine);
      this.#sessions.add(id);
      return id;
    };
    const dispose = (id: number) => this.dispose(id);
    return embedAll({ engine, texts, pooling, normalize, dimensions, another, dispose, onProgress, signal }, id);
  }

  dispose(id: number): void {
    this.#sessions.delete(id);
    this.#engine?.dispose(id);
  }

  async memory(): Promise<number> {
    const engine = this.#open;
    return engine.plan.banks.reduce((sum, _, bank) => sum + engine.bank(bank).memory.buffer.byteLength, 0);
  }

  close(): void {
    this.#closed ??= new OptionError("the model was disposed");
    for (const leave of this.#leaves) leave(this.#closed);
    for (const id of this.#sessions) this.dispose(id);
    this.#engine = undefined;
  }
}

/** What is told of an engine wherever it runs. */
export function factsOf(engine: Engine): EngineFacts {
  const { policy, weightBytes, cacheBytes, memoryBytes, options, windows } = engine.plan;
  const { modelType, trainedLength, vocabSize } = engine.program;
  return {
    modelType,
    modelHash: hex(engine.modelHash),
    ...{ trainedLength, vocabSize, hiddenSize: hiddenSize(engine.program) },
    kernels: engine.kernels.build,
    dtype: dtypesOf(engine),
    cacheDtype: options.cacheDtype,
    ...policy,
    ...{ weightBytes, cacheBytes, memoryBytes },
    chunkSize: options.chunkSize,
    windows,
  };
}
