/** Watches what a piece of code takes: memory asked for in one go, processor time, and whether it ends at all. */
import { resourceUsage } from "node:process";

/** No input of these tests justifies more: the files have 10^5 bytes. */
export const MOST_BYTES = 64 * 2 ** 20;
const MOST_SECONDS = 3;
const ARRAYS = ["ArrayBuffer", "Uint8Array", "Uint32Array", "Int32Array", "Float32Array", "Float64Array"] as const;

/** What no code under test may catch as one of its own errors. */
export class Absurd extends Error {}

type Constructor = new (...args: never) => object;

export class Watch {
  /** Bytes of all Wasm memories asked for since `begin`. */
  #memoryBytes = 0;
  readonly #undo: (() => void)[] = [];
  #seconds = 0;
  #peak = 0;
  readonly #cases = new Int32Array(new SharedArrayBuffer(4));
  readonly #dog: Worker | undefined;

  /**
   * From here on until `end`, constructors of memories and arrays refuse absurd sizes, before anything is allocated.
   * With `name`, the process is ended under that name if no case begins for long.
   */
  constructor(name?: string) {
    if (name !== undefined) {
      this.#dog = new Worker(new URL("./watchdog.worker.ts", import.meta.url).href);
      this.#dog.postMessage({ name, cases: this.#cases });
    }
    this.#replace(WebAssembly, "Memory", (make, descriptor) => {
      this.#memoryBytes += (descriptor as { initial: number }).initial * 65536;
      refuse("Memory", this.#memoryBytes);
      return make();
    });
    for (const array of ARRAYS) {
      this.#replace(globalThis, array, (make, length) => {
        if (typeof length === "number") refuse(array, length);
        return make();
      });
    }
  }

  /** Puts a constructor in the place of `owner[key]` that sees the first argument before anything is made. */
  #replace(owner: object, key: string, construct: (make: () => object, argument: unknown) => object): void {
    const target = Reflect.get(owner, key) as Constructor;
    const proxy: Constructor = new Proxy(target, {
      construct(original, args, newTarget) {
        const make = () => Reflect.construct(original, args, newTarget === proxy ? original : newTarget);
        return construct(make, args[0]);
      },
    });
    Reflect.set(owner, key, proxy);
    this.#undo.push(() => Reflect.set(owner, key, target));
  }

  /** A case begins. */
  begin(): void {
    Atomics.add(this.#cases, 0, 1);
    this.#memoryBytes = 0;
    this.#seconds = seconds();
    this.#peak = resourceUsage().maxRSS;
  }

  /** What is wrong with what the case took; undefined if nothing is. */
  verdict(): string | undefined {
    const took = seconds() - this.#seconds;
    if (took > MOST_SECONDS) return `${took} s of processor time`;
    const grown = (resourceUsage().maxRSS - this.#peak) * 1024;
    if (grown > 4 * MOST_BYTES) return `${grown} bytes of resident memory`;
    return undefined;
  }

  end(): void {
    for (const undo of this.#undo) undo();
    this.#dog?.terminate();
  }
}

function seconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function refuse(what: string, size: number): void {
  if (size > MOST_BYTES) throw new Absurd(`${what} of ${size}`);
}
