import { LambentError, ModelError, mismatch } from "../base/errors.ts";
import { isOf, messageOf } from "../base/realm.ts";
import type { ByteSource } from "../base/source.ts";
import { tick } from "../base/tick.ts";

/** Bytes of a source that come one after the other: those from `begin` to `end`, unless they break off. */
export interface Flow {
  readonly begin: number;
  readonly end: number;
  /** The next bytes, any number of them; undefined where they end. */
  read(): Promise<Uint8Array | undefined>;
  close(): void;
}

/** Starts a flow that holds the bytes from `begin` on; it may start before, and end before or after `end`. */
export type Start = (begin: number, end: number) => Promise<Flow>;

/** Carries out an attempt again while `advanced` says that the last one got further, or as often as it likes. */
export type Retry = (attempt: () => Promise<void>, advanced: () => boolean) => Promise<void>;

const EMPTY = new Uint8Array(0);
/** Bytes that are asked for at least where nothing has been read yet: a small file, the header of a large one. */
export const FIRST = 2 ** 16;
/** The same where those that were asked for last have been used up. */
const NEXT = 2 ** 20;

/**
 * A source whose bytes come in order. Reads that go forward are served from the flow that runs, others start a new one.
 * Beside what is read, one chunk is held. Reads that are asked for together are served one after the other.
 */
export class ForwardSource implements ByteSource {
  #flow: Flow | undefined;
  /** Where the first of the bytes that are held lies. */
  #at = 0;
  #held: Uint8Array = EMPTY;
  #last: Promise<void> = Promise.resolve();
  #reads = 0;
  /** Where the latest flow was to end. */
  #end: number | undefined;

  /** `flow`: one that runs already. */
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

  /** Whether a flow runs. */
  get runs(): boolean {
    return this.#flow !== undefined;
  }

  /** Ends the flow unless somebody reads; the next read starts another one. */
  pause(): void {
    if (this.#reads === 0) this.#drop();
  }

  /** Whoever still reads gets an error. */
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
      if (!bytes) throw new ModelError(mismatch(this.name, `${flow.end} bytes`, `${end}: it ends there`));
      if (end > flow.end) throw new ModelError(mismatch(this.name, `${flow.end} bytes`, "more"));
      this.#held = bytes;
      // A stream that gives nothing again and again would let no abort be heard.
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

/** The flow of a stream whose first byte is that at `begin`. Errors name the source. */
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

/** What somebody else's code threw, as an error of the source. */
export function sourceError(name: string, error: unknown): LambentError {
  if (error instanceof LambentError) return error;
  return new ModelError(mismatch(name, "bytes", messageOf(error)), { cause: error });
}
