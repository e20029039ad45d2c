import { mismatch, OptionError } from "../base/errors.ts";
import { drawSeed } from "../base/random.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { Grammar } from "../grammar/index.ts";
import type { Bank } from "../machine/bank.ts";
import { Xxh64 } from "../machine/hash.ts";
import type { Kernels } from "../machine/kernels.ts";
import type { Machine } from "../machine/machine.ts";
import { hasHead } from "../models/headless.ts";
import { hiddenSize, type Program } from "../models/program.ts";
import type { Plan } from "../plan/plan.ts";
import { type Planned, type PlanningOptions, planCheckpoint } from "../plan/plan_checkpoint.ts";
import { loadMachine, type ReadingOptions } from "../plan/read_weights.ts";
import { Batch, type Work, type WorkRows } from "./batch.ts";
import { Caches } from "./caches.ts";
import { formatNow, formatOf } from "./format.ts";
import { Logits } from "./logits.ts";
import { type LogOptions, Logs } from "./logs.ts";
import { Lookup } from "./lookup.ts";
import { type Appending, asksRecall, type Reading } from "./reading.ts";
import { Recalled } from "./recalled.ts";
import { type Choice, type Choosing, checkSampling, Sampler } from "./sampler.ts";
import { Slots } from "./slots.ts";
import { checkStart, chosenBy, hold, lengthOf, requireOpen, type SessionState, type Start, started } from "./state.ts";

/** How an engine is planned, or what was, how its weights are read, and where logs are. */
export type LoadingOptions = PlanningOptions & ReadingOptions & LogOptions & { readonly planned?: Planned };

/** A token as it was chosen, and its position in the session. */
export interface NextToken extends Choice {
  readonly position: number;
}

/**
 * Token ids in, logits out; knows no text. Sessions are numbers, and what crosses this interface is plain data, so that
 * it can be served in place or from a worker. Steps of different sessions may alternate freely.
 */
export class Engine {
  readonly program: Program;
  readonly plan: Plan;
  readonly unused: readonly string[];
  readonly kernels: Kernels;
  /** XXH64 of the config and of every weight as stored: two engines of one hash and dtype compute the same bits. */
  readonly modelHash: bigint;
  readonly slots: Slots;
  readonly logs: Logs | undefined;
  readonly #machine: Machine;
  readonly #batch: Batch;
  readonly #logits: Logits;
  readonly #caches: Caches;
  readonly #lookup: Lookup;
  readonly #sampler: Sampler;
  readonly #sessions = new Map<number, SessionState>();
  #nextId = 1;
  #busy = new Set<number>();

  get threads(): number {
    return this.#machine.threads;
  }

  private constructor(planned: Planned, kernels: Kernels, machine: Machine, modelHash: bigint, logs: LogOptions) {
    this.program = planned.program;
    this.plan = planned.plan;
    this.unused = planned.unused;
    this.kernels = kernels;
    this.modelHash = modelHash;
    this.#machine = machine;
    this.#batch = new Batch(machine, planned.plan);
    this.#logits = new Logits(planned.plan, planned.program, machine.banks);
    this.#caches = new Caches(planned.plan, planned.program, machine.banks);
    this.#lookup = new Lookup(planned.plan, this.#caches, this.#logits);
    this.#sampler = new Sampler(this.#logits.scores());
    this.logs = Logs.of(this, machine.banks, logs);
    const fits = (slot: number) => machine.banks.every((bank) => bank.reserve(bank.slot(slot + 1)));
    this.slots = new Slots(planned.plan.options.maxSessions, fits);
  }

  /** Plans the model, unless it was, then reads every weight straight into its place. */
  static async load(checkpoint: Checkpoint, kernels: Kernels, options: LoadingOptions = {}): Promise<Engine> {
    const planned = options.planned ?? (await planCheckpoint(checkpoint, () => kernels, options));
    const { machine, hash } = await loadMachine(planned.plan, checkpoint.config, kernels, options);
    return new Engine(planned, kernels, machine, hash, options);
  }

  /** Opens a session whose first token is at `origin`, 0 by default. Throws OptionError if no slot is free. */
  open(origin = 0, seed = drawSeed(), nGlobal = this.plan.policy.nGlobal): number {
    checkStart({ origin, seed, nGlobal }, this.plan);
    const slot = this.slots.take();
    this.#caches.clear(slot);
    return this.#start(slot, { origin, seed, nGlobal, log: this.logs?.open() });
  }

  /** As `open`, but leaves the slot's bytes as they are: for texts that no snapshot is taken of. */
  borrow(): number {
    const { nGlobal } = this.plan.policy;
    return this.#start(this.slots.take(), { origin: 0, seed: 0, nGlobal, log: this.logs?.open() });
  }

  #start(slot: number, start: Start): number {
    return this.adopt(started(slot, start, this.plan, new Xxh64(this.kernels)));
  }

  /** Takes a session whose slot is filled already; returns its number. */
  adopt(session: SessionState): number {
    const id = this.#nextId++;
    this.#sessions.set(id, session);
    return id;
  }

  /** A session, even one that cannot go on. */
  known(id: number): SessionState {
    const session = this.#sessions.get(id);
    if (session) return session;
    throw new OptionError(`session ${id} was disposed`);
  }

  /** A session that goes on. */
  state(id: number): SessionState {
    const session = this.known(id);
    if (session.broken) throw new OptionError(`session ${id} cannot go on: a step of it was cut off`);
    return session;
  }

  /** As `state`, with nothing in the session's slot but what it has read. */
  settled(id: number): SessionState {
    const session = this.state(id);
    this.#lookup.settle(session);
    return session;
  }

  /** A copy of a session that goes its own way from here. */
  fork(id: number): number {
    const session = this.settled(id);
    const slot = this.slots.take();
    this.#caches.copy(session.slot, slot);
    return this.adopt({
      ...session,
      slot,
      recent: session.recent.slice(),
      random: { ...session.random },
      hash: new Xxh64(this.kernels),
      recalled: session.recalled.copy(this.plan),
      log: session.log?.fork(session),
    });
  }

  /** Gives the session's slot back; a call that is reading for it ends with an error. */
  dispose(id: number): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    session.open = false;
    session.log?.clear();
    this.#sessions.delete(id);
    this.slots.give(session.slot);
  }

  /**
   * Begins a generation: what it chooses by, random numbers of a seed, its own logits hash, the grammar of its text, and
   * how many of the session's tokens were chosen for it already.
   */
  begin(id: number, seed: number | undefined, choosing: Choosing, grammar?: Grammar, newTokens = 0): void {
    checkSampling(choosing);
    const session = this.state(id);
    const promptTokens = newTokens > 0 ? lengthOf(session) - newTokens : -1;
    session.generation = { choosing, promptTokens, format: grammar && formatOf(grammar, this.kernels) };
    session.hash = new Xxh64(this.kernels);
    session.recalled = new Recalled(this.plan);
    if (seed !== undefined) this.reseed(id, seed);
  }

  /** Starts the session's random numbers anew. */
  reseed(id: number, seed: number): void {
    Object.assign(this.state(id).random, { seed, counter: 0 });
  }

  /** Reads tokens, so that the next one can be chosen. On abort, what was read so far stays read. */
  append(id: number, tokens: readonly number[], signal?: AbortSignal, how: Appending = {}): Promise<void> {
    return this.read(id, tokens, { wants: (left) => left === 1, ...how }, signal);
  }

  /** Reads tokens and gives the logits f32[vocab] after each of them, one row at a time. */
  forward(
    id: number,
    tokens: readonly number[],
    onLogits: (logits: Float32Array, position: number) => void | Promise<void>,
    signal?: AbortSignal,
    how: Appending = {},
  ): Promise<void> {
    const after = async ({ position, logitsRow, logitsCount }: WorkRows) => {
      // Copies, because other sessions may step while the reader takes its time.
      const rows = Array.from({ length: logitsCount }, (_, row) => this.#logits.row(logitsRow + row).slice());
      for (const [row, logits] of rows.entries()) await onLogits(logits, position + row);
    };
    return this.read(id, tokens, { wants: () => true, after, ...how }, signal);
  }

  /** What the calls above are ways of. */
  read(id: number, tokens: readonly number[], reading: Reading, signal?: AbortSignal): Promise<void> {
    return this.run(id, tokens, (session, all) => this.#reading(session, all, reading, signal));
  }

  /** Runs what is made of a session and the tokens that it is to read, the one first that was chosen last, if any. */
  run(
    id: number,
    tokens: readonly number[],
    make: (session: SessionState, all: readonly number[]) => Work | undefined | Promise<Work | undefined>,
  ): Promise<void> {
    return this.#exclusively(id, async (session) => {
      this.#lookup.settle(session);
      const all = this.#withPending(session, tokens);
      const work = all.length > 0 ? await make(session, all) : undefined;
      if (work) await this.#batch.run(work);
    });
  }

  #reading(session: SessionState, tokens: readonly number[], reading: Reading, signal?: AbortSignal): Work {
    if (!hasHead(this.program)) throw new OptionError(mismatch("head", "true, to compute logits", false));
    return {
      session,
      tokens,
      turnStarts: reading.turnStarts?.map((index) => index + (session.pending < 0 ? 0 : 1)),
      wants: (index) => reading.wants(tokens.length - index),
      asksRecall: reading.recall === false ? () => false : asksRecall(this.plan, session, tokens.length - 1),
      after: (rows) => {
        this.#logits.keep(session, rows, rows.index + rows.count === tokens.length && reading.wants(1));
        return reading.after?.(rows);
      },
      alone: reading.alone,
      signal,
    };
  }

  /** Reads the token chosen last, if any, and chooses the next one, as its generation does or, if given, as `alone` says. */
  async next(id: number, alone?: Choosing): Promise<NextToken> {
    if (alone) checkSampling(alone);
    return this.#exclusively(id, async (session) => {
      if (session.pending >= 0 && !this.#lookup.take(session)) {
        this.#lookup.settle(session);
        const reading = this.#reading(session, this.#withPending(session, []), { wants: () => true });
        await this.#batch.run(this.#lookup.work(session, alone) ?? reading);
      }
      requireOpen(session);
      if (!session.hasLogits) throw new OptionError(`session ${id} has no logits to choose from: append tokens first`);
      const logits = this.logits(session);
      session.hash.update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength));
      const format = alone ? undefined : formatNow(session);
      const choice = this.#sampler.choose(logits, ...chosenBy(session, alone), session.random, format);
      hold(session, choice.id);
      format?.take(choice.id);
      return { ...choice, position: session.position };
    });
  }

  /** The logits f32[vocab] after the last token read: a view of Wasm memory. */
  logits(session: SessionState): Float32Array {
    return this.#logits.of(session);
  }

  /** Row `row` of the last step's hidden states, f32[hiddenSize]: a view of Wasm memory. */
  hidden(row: number): Float32Array {
    const { bank, address } = this.plan.hiddenStates;
    const width = hiddenSize(this.program);
    return this.bank(bank).floats(address + 4 * row * width, width);
  }

  /** One of the plan's memories. */
  bank(number: number): Bank {
    return this.#machine.banks[number] as Bank;
  }

  /** A part of a session's slot: the cache of one layer in its bank, bytes from `offset` on; a view of Wasm memory. */
  cacheBytes(session: SessionState, layer: number, offset: number, length: number): Uint8Array {
    return this.#caches.bytes(session, layer, offset, length);
  }

  async #exclusively<T>(id: number, work: (session: SessionState) => Promise<T>): Promise<T> {
    const session = this.state(id);
    if (this.#busy.has(id)) throw new OptionError(`session ${id} is busy: it takes one call at a time`);
    this.#busy.add(id);
    try {
      return await work(session);
    } finally {
      this.#busy.delete(id);
    }
  }

  /** The token chosen last, if it was not read yet, and `tokens`; every one checked. */
  #withPending(session: SessionState, tokens: readonly number[]): number[] {
    for (const [i, token] of tokens.entries()) {
      if (Number.isInteger(token) && token >= 0 && token < this.program.vocabSize) continue;
      throw new OptionError(mismatch(`token ${i}`, `an id from 0 to ${this.program.vocabSize - 1}`, token));
    }
    const all = session.pending >= 0 ? [session.pending, ...tokens] : [...tokens];
    const { maxPositions, policy } = this.plan;
    const length = session.position - session.origin + all.length;
    if (length <= maxPositions) return all;
    const expected = `at most ${maxPositions} tokens under ${policy.attention} attention`;
    throw new OptionError(mismatch("maxPositions", expected, length));
  }
}
