import { LambentError, ModelError, mismatch } from "../base/errors.ts";
import { isOf, messageOf } from "../base/realm.ts";
import type { ByteSource } from "../base/source.ts";
import { tick } from "../base/tick.ts";

/** Bytes of a source in order: those from `begin` to `end`, unless the connection breaks. */
export interface Flow {
  readonly begin: number;
  readonly end: number;
  /** The next bytes, any number of them; undefined at the end. */
  read(): Promise<Uint8Array | undefined>;
  close(): void;
}

/** Starts a flow that contains the bytes from `begin` on; it may start earlier, and end before or after `end`. */
export type Start = (begin: number, end: number) => Promise<Flow>;

/** Repeats an attempt as often as it likes; `advanced` says whether the last one got further. */
export type Retry = (attempt: () => Promise<void>, advanced: () => boolean) => Promise<void>;

const EMPTY = new Uint8Array(0);
/** The least number of bytes requested when nothing has been read yet: a small file, or the header of a large one. */
export const FIRST = 2 ** 16;
/** The least number of bytes requested when the last ones have been used up. */
const NEXT = 2 ** 20;

/**
 * A source whose bytes come in order. Reads that go forward are served from the current flow, others start a new one.
 * In addition to what is read, one chunk is held. Concurrent reads are served one after the other.
 */
export class ForwardSource implements ByteSource {
  #flow: Flow | undefined;
  /** Offset of the first byte that is held. */
  #at = 0;
  #held: Uint8Array = EMPTY;
  #last: Promise<void> = Promise.resolve();
  #reads = 0;
  /** Where the current flow was meant to end. */
  #end: number | undefined;

  /** `flow`: one that has started already. */
  constructor(
    readonly name: string,
    readonly size: number,
    private readonly start: Start,
    private readonly retry: Retry = (attempt) => attempt(),
    flow?: Flow,
  ) {
    if (flow) this.#follow(flow);
  }

  readInto(target: Uint8Array, offset: number): Promise<void> {
    this.#reads++;
    const read = this.#last.then(() => this.#fill(target, offset)).finally(() => this.#reads--);
    this.#last = read.catch(() => {});
    return read;
  }

  /** Whether a flow is open. */
  get runs(): boolean {
    return this.#flow !== undefined;
  }

  /** Ends the flow unless a read is under way; the next read starts another one. */
  pause(): void {
    if (this.#reads === 0) this.#drop();
  }

  /** Pending reads fail. */
  async close(): Promise<void> {
    this.#drop();
  }

  async #fill(target: Uint8Array, offset: number): Promise<void> {
    const end = offset + target.length;
    if (end > this.size) throw new ModelError(mismatch(this.name, `at least ${end} bytes`, this.size));
    let done = 0;
    let before = 0;
    const attempt = async () => {
      before = done;
      try {
        while (done < target.length) {
          const bytes = await this.#next(offset + done, end);
          target.set(bytes, done);
          done += bytes.length;
        }
      } catch (error) {
        this.#drop();
        throw error;
      }
    };
    await this.retry(attempt, () => done > before);
  }

  /** Bytes from `from` on: at least one, and none beyond `to`. */
  async #next(from: number, to: number): Promise<Uint8Array> {
    if (!this.#flow || from < this.#at || from >= this.#flow.end) {
      const least = this.#end === undefined ? FIRST : this.#end === from ? NEXT : 0;
      this.#drop();
      this.#follow(await this.start(from, Math.min(this.size, Math.max(to, from + least))));
    }
    const flow = this.#flow as Flow;
    while (this.#at + this.#held.length <= from) {
      this.#at += this.#held.length;
      this.#held = EMPTY;
      const bytes = await flow.read();
      const end = this.#at + (bytes?.length ?? 0);
      if (!bytes) throw new ModelError(mismatch(this.name, `${flow.end} bytes`, `${end}: the source ends there`));
      if (end > flow.end) throw new ModelError(mismatch(this.name, `${flow.end} bytes`, "more"));
      this.#held = bytes;
      // Otherwise a stream of empty chunks would prevent aborts.
      if (bytes.length === 0) await tick();
    }
    const bytes = this.#held.subarray(from - this.#at, to - this.#at);
    this.#held = this.#held.subarray(from - this.#at + bytes.length);
    this.#at = from + bytes.length;
    return bytes;
  }

  #follow(flow: Flow): void {
    this.#flow = flow;
    this.#at = flow.begin;
    this.#end = flow.end;
  }

  #drop(): void {
    this.#flow?.close();
    this.#flow = undefined;
    this.#held = EMPTY;
  }
}

/** The flow of a stream whose first byte is at offset `begin`. Errors name the source. */
export function streamFlow(stream: ReadableStream<Uint8Array>, name: string, begin: number, end: number): Flow {
  const reader = stream.getReader();
  return {
    begin,
    end,
    async read() {
      const { done, value } = await reader.read().catch((error) => {
        throw sourceError(name, error);
      });
      if (done) return undefined;
      if (!isOf("Uint8Array", value)) throw new ModelError(mismatch(name, "a stream of Uint8Arrays", value));
      return value;
    },
    close: () => void reader.cancel().catch(() => {}),
  };
}

/** What a caller's code threw, as an error of the source. */
export function sourceError(name: string, error: unknown): LambentError {
  if (error instanceof LambentError) return error;
  return new ModelError(mismatch(name, "bytes", messageOf(error)), { cause: error });
}
