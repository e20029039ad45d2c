import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { drawSeed } from "../base/random.ts";
import { tick } from "../base/tick.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { Bank } from "../machine/bank.ts";
import { Xxh64 } from "../machine/hash.ts";
import type { Kernels } from "../machine/kernels.ts";
import type { Machine, StepRow } from "../machine/machine.ts";
import type { Program } from "../models/program.ts";
import type { Plan } from "../plan/plan.ts";
import { type Planned, type PlanningOptions, planCheckpoint } from "../plan/plan_checkpoint.ts";
import { loadMachine, type ReadingOptions } from "../plan/read_weights.ts";
import type { Reading } from "./reading.ts";
import { type Choice, type Choosing, checkSampling, GREEDY, Sampler } from "./sampler.ts";
import { Slots } from "./slots.ts";
import { chosenBy, requireOpen, type SessionState } from "./state.ts";

export type LoadingOptions = PlanningOptions & ReadingOptions;

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
  readonly #machine: Machine;
  readonly #sampler: Sampler;
  readonly #sessions = new Map<number, SessionState>();
  #nextId = 1;
  #busy = new Set<number>();
  get threads(): number {
    return this.#machine.threads;
  }

  /** Records executed in the last step. */
  records = 0;

  private constructor(planned: Planned, kernels: Kernels, machine: Machine, modelHash: bigint) {
    this.program = planned.program;
    this.plan = planned.plan;
    this.unused = planned.unused;
    this.kernels = kernels;
    this.modelHash = modelHash;
    this.#machine = machine;
    this.#sampler = new Sampler(planned.program.vocabSize);
    const fits = (slot: number) => machine.banks.every((bank) => bank.reserve(bank.slot(slot + 1)));
    this.slots = new Slots(planned.plan.options.maxSessions, fits);
  }

  /** Plans the model, then reads every weight straight into its place. */
  static async load(checkpoint: Checkpoint, kernels: Kernels, options: LoadingOptions = {}): Promise<Engine> {
    const planned = await planCheckpoint(checkpoint, () => kernels, options);
    const { machine, hash } = await loadMachine(planned.plan, checkpoint.config, kernels, options);
    return new Engine(planned, kernels, machine, hash);
  }

  /** Opens a session whose first token is at `origin`. Throws OptionError if no slot is free. */
  open(origin = 0, seed = drawSeed()): number {
    for (const [name, value] of Object.entries({ startPosition: origin, seed })) {
      if (Number.isSafeInteger(value) && value >= 0) continue;
      throw new OptionError(mismatch(name, "a whole number from 0 to 2^53 − 1", value));
    }
    const slot = this.slots.take();
    for (const bank of this.#machine.banks) bank.bytes(bank.slot(slot), bank.plan.slotBytes).fill(0);
    return this.adopt({
      slot,
      open: true,
      broken: false,
      origin,
      position: origin,
      pending: -1,
      hasLogits: false,
      recent: new Int32Array(this.plan.options.repeatLastN).fill(-1),
      random: { seed, counter: 0 },
      hash: new Xxh64(this.kernels),
      generation: { choosing: GREEDY, promptTokens: -1 },
    });
  }

  /** Takes a session whose slot is filled already; returns its number. */
  adopt(session: SessionState): number {
    const id = this.#nextId++;
    this.#sessions.set(id, session);
    return id;
  }

  state(id: number): SessionState {
    const session = this.#sessions.get(id);
    if (!session) throw new OptionError(mismatch("session", "one that is open", `number ${id}, which was disposed`));
    if (session.broken) throw new OptionError(mismatch("session", "one whose last step ended", "one cut off"));
    return session;
  }

  /** A copy of a session that goes its own way from here. */
  fork(id: number): number {
    const session = this.state(id);
    const slot = this.slots.take();
    for (const bank of this.#machine.banks) {
      bank.bytes(bank.slot(slot), bank.plan.slotBytes).set(bank.bytes(bank.slot(session.slot), bank.plan.slotBytes));
    }
    return this.adopt({
      ...session,
      slot,
      recent: session.recent.slice(),
      random: { ...session.random },
      hash: new Xxh64(this.kernels),
    });
  }

  /** Gives the session's slot back; a call that is reading for it ends with an error. */
  dispose(id: number): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    session.open = false;
    this.#sessions.delete(id);
    this.slots.give(session.slot);
  }

  /** Begins a generation: what it chooses by, its own random numbers, if a seed is given, and its own logits hash. */
  begin(id: number, seed: number | undefined, choosing: Choosing = GREEDY): void {
    checkSampling(choosing);
    const session = this.state(id);
    session.generation = { choosing, promptTokens: -1 };
    if (seed !== undefined) Object.assign(session.random, { seed, counter: 0 });
    session.hash = new Xxh64(this.kernels);
  }

  /** Reads tokens, so that the next one can be chosen. On abort, what was read so far stays read. */
  append(id: number, tokens: readonly number[], signal?: AbortSignal): Promise<void> {
    const { chunkSize: rows } = this.plan.options;
    return this.read(id, tokens, { rows, wants: (left) => left === 1 }, signal);
  }

  /** Reads tokens and gives the logits f32[vocab] after each of them, one row at a time. */
  forward(
    id: number,
    tokens: readonly number[],
    onLogits: (logits: Float32Array, position: number) => void | Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    const after = async (position: number, count: number) => {
      // Copies, because other sessions may step while the reader takes its time.
      const rows = Array.from({ length: count }, (_, row) => this.#logitsRow(row).slice());
      for (const [row, logits] of rows.entries()) await onLogits(logits, position + row);
    };
    return this.read(id, tokens, { rows: this.plan.options.logitsRows, wants: () => true, after }, signal);
  }

  /** Reads the token chosen last, if any, and tokens, step by step: what the calls above are ways of. */
  async read(id: number, tokens: readonly number[], reading: Reading, signal?: AbortSignal): Promise<void> {
    const { rows, scores } = reading;
    await this.#exclusively(id, async (session) => {
      const all = this.#withPending(session, tokens);
      const end = scores ? all.length - 1 : all.length;
      if (scores && all.length) await scores.begin(session, all[0] as number);
      for (let i = 0; i < end; i += rows) {
        signal?.throwIfAborted();
        await this.#machine.settled;
        const { position } = session;
        const chunk = all.slice(i, Math.min(end, i + rows));
        scores?.targets(all.slice(i + 1, i + 1 + chunk.length));
        const ends = !scores && i + chunk.length === end;
        this.#step(session, chunk, (row) => reading.wants(end - i - row), ends, !scores);
        if (scores) this.hold(session, all[i + chunk.length] as number);
        await reading.after?.(position, chunk.length);
        await tick();
      }
    });
  }

  /** Makes a token the session's last one, to be read by its next step. */
  hold(session: SessionState, token: number): void {
    session.pending = token;
    session.recent[session.position % session.recent.length] = token;
  }

  /** Reads the token chosen last, if any, and chooses the next one, as its generation does or, if given, as `alone` says. */
  async next(id: number, alone?: Choosing): Promise<NextToken> {
    if (alone) checkSampling(alone);
    return this.#exclusively(id, async (session) => {
      await this.#machine.settled;
      requireOpen(session);
      if (session.pending >= 0) this.#step(session, this.#withPending(session, []), () => true);
      if (!session.hasLogits) throw new OptionError(mismatch("session", "at least one token before next", "none"));
      const logits = this.logits(session);
      session.hash.update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength));
      const choice = this.#sampler.choose(logits, ...chosenBy(session, alone), session.random);
      this.hold(session, choice.id);
      await tick();
      return { ...choice, position: session.position };
    });
  }

  /** The logits f32[vocab] after the last token read: a view of Wasm memory. */
  logits(session: SessionState): Float32Array {
    const bank = this.bank(this.plan.head.bank);
    return bank.floats(bank.slot(session.slot), this.program.vocabSize);
  }

  /** One of the plan's memories. */
  bank(number: number): Bank {
    return this.#machine.banks[number] as Bank;
  }

  /** A part of a session's slot: the cache of one layer in its bank, bytes from `offset` on; a view of Wasm memory. */
  cacheBytes(session: SessionState, layer: number, offset: number, length: number): Uint8Array {
    const { bank, offset: begin } = this.plan.layers[layer] as { bank: number; offset: number };
    const memory = this.bank(bank);
    return memory.bytes(memory.slot(session.slot) + begin + offset, length);
  }

  async #exclusively<T>(id: number, work: (session: SessionState) => Promise<T>): Promise<T> {
    const session = this.state(id);
    if (this.#busy.has(id)) throw new OptionError(mismatch("session", "one call at a time", "a second one"));
    this.#busy.add(id);
    try {
      return await work(session);
    } finally {
      this.#busy.delete(id);
    }
  }

  /** The token chosen last, which nobody has read yet, and `tokens`; every one checked. */
  #withPending(session: SessionState, tokens: readonly number[]): number[] {
    for (const [i, token] of tokens.entries()) {
      if (Number.isInteger(token) && token >= 0 && token < this.program.vocabSize) continue;
      throw new OptionError(mismatch(`token ${i}`, `an id from 0 to ${this.program.vocabSize - 1}`, token));
    }
    const all = session.pending >= 0 ? [session.pending, ...tokens] : [...tokens];
    const { maxPositions, policy } = this.plan;
    const length = session.position - session.origin + all.length;
    if (length <= maxPositions) return all;
    throw new OptionError(
      mismatch("maxPositions", `at most ${maxPositions} tokens under ${policy.attention} attention`, length),
    );
  }

  #logitsRow(row: number): Float32Array {
    const { bank, logits } = this.plan.head;
    const { vocabSize } = this.program;
    return this.bank(bank).floats(logits + 4 * row * vocabSize, vocabSize);
  }

  /** One step of one session. `ends`: it ends a call; `finite`: logits must be, and the last row's become the session's. */
  #step(
    session: SessionState,
    tokens: readonly number[],
    wantsLogits: (row: number) => boolean,
    ends = true,
    finite = true,
  ): void {
    requireOpen(session);
    const all = this.plan.policy.middleQueries === "all";
    const rows = tokens.map(
      (token, i): StepRow => ({
        token,
        slot: session.slot,
        position: session.position + i,
        origin: session.origin,
        wantsLogits: wantsLogits(i),
        skipsMiddle: !(all || (ends && i === tokens.length - 1) || (i === 0 && session.pending >= 0)),
      }),
    );
    session.broken = true;
    this.records = this.#machine.run(rows);
    session.broken = false;
    for (const [i, token] of tokens.entries()) session.recent[(session.position + i) % session.recent.length] = token;
    session.position += tokens.length;
    session.pending = -1;
    session.hasLogits = false;
    const wanted = rows.filter((row) => row.wantsLogits);
    if (finite) for (const [i, row] of wanted.entries()) this.#checkFinite(i, row.position);
    if (!finite || !rows.at(-1)?.wantsLogits) return;
    this.logits(session).set(this.#logitsRow(wanted.length - 1));
    session.hasLogits = true;
  }

  /** Throws ModelError if a row of logits holds a number that is not finite. */
  #checkFinite(row: number, position: number): void {
    const logits = this.#logitsRow(row);
    const bad = this.bank(this.plan.head.bank).kernels.firstNonFinite(logits.byteOffset, logits.length);
    if (bad < 0) return;
    throw new ModelError(
      mismatch(`logits at position ${position}`, "finite numbers", `${logits[bad]} for token ${bad}`),
    );
  }
}
