import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { abortable } from "../base/tick.ts";
import type { Bank } from "../machine/bank.ts";
import { hex } from "../machine/hash.ts";
import type { Plan } from "../plan/plan.ts";
import { firstReached, LOG_SEGMENT } from "../store/log_store.ts";
import type { LogFormat, LoggedLayer, LoggedSession } from "./log_format.ts";
import type { LogMemory } from "./log_memory.ts";
import type { StepRows } from "./recalled.ts";

/** What the logs of an engine's sessions have in common. */
export interface LogParts {
  readonly plan: Plan;
  readonly banks: readonly Bank[];
  /** What names a segment: XXH64 of its bytes, 16 hexadecimal digits. */
  readonly hash: (bytes: Uint8Array) => string;
  readonly format: LogFormat;
  readonly memory: LogMemory;
}

/** What a snapshot says of a log: the hash of its last segment, and how many there were. */
export interface LogEnd {
  readonly last: bigint;
  readonly count: number;
}

/**
 * What a session has read, beyond what is in its slot: segments of LOG_SEGMENT tokens, made when all of their tokens were
 * read and taken over from the slot, where newer ones take their places. Those that no query can reach any more are given up.
 */
export class Log {
  readonly #parts: LogParts;
  /** Names of its segments; the first of them is number #first of the session's. */
  #names: string[];
  #first: number;
  /** How many of them the store is known to have, from the first on. */
  #written = 0;
  /** Rejects when the log is cleared. */
  #ended = ending();
  /** Why a step of this session could not read its log: it cannot go on. */
  failure: unknown;

  constructor(parts: LogParts, names: readonly string[] = [], first = 0) {
    this.#parts = parts;
    this.#names = [...names];
    this.#first = first;
  }

  get format(): LogFormat {
    return this.#parts.format;
  }

  /** Segments so far, those included that were given up. */
  get count(): number {
    return this.#first + this.#names.length;
  }

  get end(): LogEnd {
    const last = this.#names.at(-1);
    return { last: last === undefined ? 0n : BigInt(`0x${last}`), count: this.count };
  }

  /** Makes segments of what the session has read and is not in one. Nothing that it has read may be taken back afterwards. */
  seal(session: LoggedSession): void {
    const { format, hash, memory } = this.#parts;
    while (session.position - session.origin >= (this.count + 1) * LOG_SEGMENT) {
      const { last: predecessor, count } = this.end;
      const bytes = format.write(session, { predecessor, first: count * LOG_SEGMENT });
      const name = hash(bytes);
      memory.add(name, bytes);
      this.#names.push(name);
    }
    this.#giveUp(session);
  }

  #giveUp({ position, origin }: LoggedSession): void {
    const reached = firstReached(position - origin, this.#parts.plan.policy);
    // The last one stays: the next one names it.
    while (this.#names.length > 1 && this.#first < reached) {
      this.#parts.memory.release(this.#names.shift() as string);
      this.#first++;
      this.#written = Math.max(0, this.#written - 1);
    }
  }

  /** Pending while the store has not all of it; rejects with what the store says, or when the session ends. */
  get writing(): Promise<void> | undefined {
    const { memory } = this.#parts;
    while (this.#written < this.#names.length && memory.isWritten(this.#names[this.#written] as string))
      this.#written++;
    if (this.#written === this.#names.length) return undefined;
    return Promise.race([memory.written(this.#names.slice(this.#written)), this.#ended.promise]);
  }

  /**
   * Done when the store has the segments that there are now, which a snapshot needs: they stay until it is forgotten. Rejects
   * with what the store says, or if the session is disposed of meanwhile.
   */
  async promise(): Promise<void> {
    const { memory } = this.#parts;
    const names = [...this.#names];
    for (const name of names) memory.hold(name);
    try {
      await Promise.race([memory.written(names), this.#ended.promise]);
      memory.promise(names);
    } finally {
      for (const name of names) memory.release(name);
    }
  }

  /** That of a copy of the session. */
  fork(session: LoggedSession): Log {
    this.seal(session);
    for (const name of this.#names) this.#parts.memory.hold(name);
    return new Log(this.#parts, this.#names, this.#first);
  }

  /** The session is at its first token again, or has ended. */
  clear(): void {
    for (const name of this.#names.splice(0)) this.#parts.memory.release(name);
    this.#first = 0;
    this.#written = 0;
    this.#ended.reject(new OptionError("the session was disposed meanwhile"));
    this.#ended = ending();
  }

  /**
   * Reads the log of a session that was restored, which ends with `end`. Throws ModelError, which names the segment, if one
   * that can be reached is not there, damaged, or of another model or policy.
   */
  async restore(session: LoggedSession, { last, count }: LogEnd, signal?: AbortSignal): Promise<void> {
    const { format, memory, plan } = this.#parts;
    const reached = firstReached(session.position - session.origin, plan.policy);
    this.#first = count;
    let next = last;
    for (let number = count - 1; number >= 0 && number >= reached; number--) {
      const name = hex(next);
      const bytes = await abortable(memory.get(name), signal);
      const head = format.head(`segment ${name}`, bytes);
      const first = number * LOG_SEGMENT;
      if (head.first !== first) throw new ModelError(mismatch(`segment ${name}: first_token`, `${first}`, head.first));
      format.copyCodes(session, bytes, first, true);
      memory.keep(name, bytes);
      this.#names.unshift(name);
      this.#first--;
      next = head.predecessor;
    }
  }

  /** Brings keys and values that a layer's heads have chosen to where its attention takes them from. */
  gather(session: LoggedSession, layer: number, rows: Omit<StepRows, "needed">): void {
    const { format, plan, banks } = this.#parts;
    const at = format.layers.findIndex((one) => one.layer === layer);
    const logged = format.layers[at] as LoggedLayer;
    const { bank, address, gathered } = plan.chosen[at] as Plan["chosen"][number];
    const { heads, kvHeads } = logged.shape;
    const { recall } = plan.policy;
    const entries = rows.count * heads * recall;
    const first = rows.first * heads * recall;
    const memory = banks[bank] as Bank;
    const distances = new Uint32Array(memory.memory.buffer, address + 8 * first, 2 * entries);
    const size = 2 * logged.cache.headBytes;
    const pairs = memory.bytes(gathered + first * size, entries * size);
    try {
      for (let entry = 0; entry < entries; entry++) {
        const distance = distances[2 * entry + 1] as number;
        if (distance === 0) continue;
        const row = Math.floor(entry / (heads * recall));
        const head = Math.floor(entry / recall) % heads;
        const kvHead = Math.floor((head * kvHeads) / heads);
        const token = rows.position + row - session.origin - distance;
        this.#bring(session, logged, kvHead, token, pairs.subarray(entry * size, (entry + 1) * size));
      }
    } catch (error) {
      // The other sessions of the step do not suffer from it.
      pairs.fill(0);
      this.failure ??= error;
    }
  }

  #bring(session: LoggedSession, layer: LoggedLayer, kvHead: number, token: number, to: Uint8Array): void {
    const { format, memory } = this.#parts;
    const number = Math.floor(token / LOG_SEGMENT);
    if (number >= this.count) {
      format.pair(session, layer, kvHead, token, to, 0);
    } else {
      const name = this.#names[number - this.#first] as string;
      memory.read(name, format.pairAt(layer, kvHead, token % LOG_SEGMENT), to);
    }
  }
}

/** A promise to be rejected; it need not be awaited. */
function ending(): PromiseWithResolvers<never> {
  const made = Promise.withResolvers<never>();
  made.promise.catch(() => {});
  return made;
}
