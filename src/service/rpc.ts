import { LambentError, ModelError, mismatch, OptionError, show } from "../base/errors.ts";
import { isOf, messageOf } from "../base/realm.ts";
import type { Port } from "../runtime/types.ts";
import { Inbox } from "./inbox.ts";

/** What a handler gets beside its arguments: the caller's abort, and a way to tell it something meanwhile. */
export interface Call {
  readonly signal: AbortSignal;
  tell(value: unknown): void;
  /** Of a stream: true once the caller wants another value, false once it has left. */
  wanted(): Promise<boolean>;
}

/** What one end answers, by method; arguments are those of the call. */
export type Handlers = Readonly<Record<string, (call: Call, ...args: never[]) => unknown>>;

type Message =
  | { readonly kind: "call"; readonly number: number; readonly method: string; readonly args: readonly unknown[] }
  | { readonly kind: "abort"; readonly number: number }
  | { readonly kind: "more"; readonly number: number; readonly count: number }
  | { readonly kind: "tell"; readonly number: number; readonly value: unknown }
  | { readonly kind: "answer"; readonly number: number; readonly value: unknown }
  | { readonly kind: "error"; readonly number: number; readonly name: string; readonly message: string };

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onTell: (value: unknown) => void;
  readonly signal: AbortSignal | undefined;
}

/** `onTell` gets what the other end tells before it answers. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onTell?: ((value: never) => void) | undefined;
}

/** A call with many values, each of them told. */
export interface StreamOptions<T> {
  /** Values that are asked for at most. */
  readonly most: number;
  /** How many of them the other end may make before they are read. */
  readonly ahead: number;
  readonly onTell: (value: T) => void;
}

/** Values that are read one at a time; `return` leaves, and is done when the other end has stopped. */
export interface Stream<T> {
  next(): Promise<IteratorResult<T, void>>;
  return(): Promise<unknown>;
}

/** Both ends of a line alike: calls are answered in any order, errors cross by name, an abort is passed on. */
export class Rpc {
  readonly #port: Port;
  readonly #handlers: Handlers;
  readonly #pending = new Map<number, Pending>();
  readonly #running = new Map<number, Running>();
  #next = 0;
  /** Calls, and values of streams, that are waited for: while there are some, the process has to go on. */
  #waits = 0;
  #ended: unknown;

  constructor(port: Port, handlers: Handlers) {
    this.#port = port;
    this.#handlers = handlers;
    port.listen((message) => this.#receive(message as Message));
  }

  /** Asks the other end. An abort is heard there; the call then ends here with the signal's reason. */
  call<T>(method: string, args: readonly unknown[], options: CallOptions = {}): Promise<T> {
    return this.#waiting(() => this.#ask<T>(method, args, options).done);
  }

  /** Asks the other end for values, which it makes as they are wanted. It has ended once `return` is done. */
  stream<T>(method: string, args: readonly unknown[], { most, ahead, onTell }: StreamOptions<T>): Stream<T> {
    const values = new Inbox<T>();
    const { done, number, abort } = this.#ask<void>(method, args, {
      onTell(value: T) {
        onTell(value);
        values.add(value);
      },
    });
    done.then(
      () => values.end(),
      (error) => values.fail(error),
    );
    let asked = 0;
    let granted = 0;
    const next = () => {
      asked++;
      const count = Math.min(most, asked + ahead) - granted;
      // Not a message for each value.
      if (count > ahead / 2 || granted < Math.min(most, asked)) {
        granted += count;
        this.#port.post({ kind: "more", number, count } satisfies Message);
      }
      return values.next();
    };
    return {
      next: () => this.#waiting(next),
      return: async () => {
        abort();
        await this.#waiting(() => done.catch(() => {}));
      },
    };
  }

  async #waiting<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waits++ === 0) this.#port.hold?.(true);
    try {
      return await work();
    } finally {
      if (--this.#waits === 0) this.#port.hold?.(false);
    }
  }

  #ask<T>(method: string, args: readonly unknown[], { signal, onTell }: CallOptions) {
    const number = this.#next++;
    const abort = () => {
      if (this.#pending.has(number)) this.#port.post({ kind: "abort", number } satisfies Message);
    };
    const done = new Promise<T>((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      signal?.throwIfAborted();
      this.#port.post({ kind: "call", number, method, args } satisfies Message);
      signal?.addEventListener("abort", abort, { once: true });
      const settled = () => {
        signal?.removeEventListener("abort", abort);
        this.#pending.delete(number);
      };
      this.#pending.set(number, {
        resolve(value) {
          settled();
          resolve(value as T);
        },
        reject(error) {
          settled();
          reject(error);
        },
        onTell(value) {
          try {
            onTell?.(value as never);
          } catch (error) {
            abort();
            this.reject(error);
          }
        },
        signal,
      });
    });
    return { number, done, abort };
  }

  /** Ends every call, those to come included, with this error. */
  end(error: unknown): void {
    this.#ended ??= error;
    for (const { reject } of [...this.#pending.values()]) reject(error);
  }

  #receive(message: Message): void {
    const { number } = message;
    const pending = this.#pending.get(number);
    if (message.kind === "call") void this.#serve(number, message.method, message.args);
    else if (message.kind === "abort") this.#running.get(number)?.abort();
    else if (message.kind === "more") this.#running.get(number)?.want(message.count);
    else if (message.kind === "tell") pending?.onTell(message.value);
    else if (message.kind === "answer") pending?.resolve(message.value);
    else {
      const aborted = message.name === "AbortError" && pending?.signal?.aborted;
      pending?.reject(aborted ? pending.signal.reason : revive(message));
    }
  }

  async #serve(number: number, method: string, args: readonly unknown[]): Promise<void> {
    const running = new Running();
    const { signal } = running;
    this.#running.set(number, running);
    try {
      const tell = (value: unknown) => this.#port.post({ kind: "tell", number, value } satisfies Message);
      const handler = this.#handlers[method];
      if (!handler)
        throw new LambentError(mismatch("call", `one of ${Object.keys(this.#handlers).join(", ")}`, method));
      const value = await handler({ signal, tell, wanted: () => running.wanted() }, ...(args as never[]));
      this.#port.post({ kind: "answer", number, value } satisfies Message, givenAway(value));
    } catch (error) {
      const aborted = signal.aborted && error === signal.reason;
      const told = { ...describe(error), ...(aborted ? { name: "AbortError" } : {}) };
      this.#port.post({ kind: "error", number, ...told } satisfies Message);
    } finally {
      this.#running.delete(number);
    }
  }
}

/** A call that is being served. */
class Running {
  readonly #control = new AbortController();
  #wanted = 0;
  #wake: (() => void) | undefined;

  get signal(): AbortSignal {
    return this.#control.signal;
  }

  abort(): void {
    this.#control.abort();
    this.#wake?.();
  }

  want(count: number): void {
    this.#wanted += count;
    this.#wake?.();
  }

  async wanted(): Promise<boolean> {
    while (this.#wanted === 0 && !this.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wanted--;
    return !this.signal.aborted;
  }
}

/** Numbers that are an answer of their own are not copied. */
function givenAway(value: unknown): ArrayBuffer[] {
  return ArrayBuffer.isView(value) && isOf("ArrayBuffer", value.buffer) ? [value.buffer as ArrayBuffer] : [];
}

/** What crosses of an error. Files and callbacks may throw whatever they like, also what cannot be read. */
function describe(error: unknown): { name: string; message: string } {
  try {
    const message = messageOf(error);
    if (message === error) return { name: "Error", message: show(error) };
    return { name: `${(error as Error).name ?? "Error"}`, message: `${message}` };
  } catch {
    return { name: "Error", message: "an error that cannot be shown" };
  }
}

function revive({ name, message }: { name: string; message: string }): Error {
  if (name === "ModelError") return new ModelError(message);
  if (name === "OptionError") return new OptionError(message);
  if (name === "LambentError" || name === "HubError") return new LambentError(message);
  return Object.assign(new Error(message), { name });
}
