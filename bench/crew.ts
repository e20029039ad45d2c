import { Worker } from "node:worker_threads";
import { CALL_WORDS, exportNames, REST, Word } from "./crew_words.ts";

/**
 * Threads that call the same Wasm export at the same moment, so that a measurement by several of them begins and ends
 * within a microsecond. Between calls they spin, at rest they sleep and take no time from others.
 */
export class Crew {
  /** This one included. */
  readonly threads: number;
  readonly #workers: readonly Worker[];
  readonly #words: Int32Array;
  #instances: WebAssembly.Instance[] = [];
  #awake = false;

  private constructor(threads: number) {
    this.threads = threads;
    const shared = new SharedArrayBuffer(4 * (Word.Calls + threads * CALL_WORDS));
    this.#words = new Int32Array(shared);
    this.#workers = Array.from({ length: threads - 1 }, (_, i) => {
      const worker = new Worker(new URL("./crew_worker.ts", import.meta.url), {
        workerData: { shared, thread: i + 1 },
      });
      worker.unref();
      return worker;
    });
  }

  static async open(threads: number): Promise<Crew> {
    const crew = new Crew(threads);
    await crew.#answers(() => {});
    return crew;
  }

  /** Gives every thread an instance of `module` over `memory`, which is shared if they are several; returns its number. */
  async instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<number> {
    this.rest();
    await this.#answers((worker) => worker.postMessage({ module, memory }));
    return this.#instances.push(new WebAssembly.Instance(module, { env: { memory } })) - 1;
  }

  /**
   * The first `threads` threads call `name` of that instance with arguments of their own, whole numbers; returns the
   * milliseconds until all of them are done.
   */
  call(instance: number, name: string, threads: number, args: (thread: number) => readonly number[]): number {
    const { exports } = this.#instances[instance] as WebAssembly.Instance;
    const work = exports[name] as (...args: number[]) => unknown;
    const mine = args(0);
    if (threads === 1) {
      this.rest();
      const begin = performance.now();
      work(...mine);
      return performance.now() - begin;
    }
    if (!this.#awake) this.#wake();
    const index = exportNames(exports).indexOf(name);
    for (let thread = 1; thread < this.threads; thread++) {
      this.#write(thread, thread < threads ? [instance, index, ...args(thread)] : [instance, -1]);
    }
    const begin = performance.now();
    this.#go();
    work(...mine);
    this.#meet();
    return performance.now() - begin;
  }

  /** Lets go of every instance and the memory that it holds. */
  async forget(): Promise<void> {
    this.rest();
    this.#instances = [];
    await this.#answers((worker) => worker.postMessage("forget"));
  }

  /** Lets the other threads sleep until they are needed. */
  rest(): void {
    if (!this.#awake) return;
    for (let thread = 1; thread < this.threads; thread++) this.#write(thread, [REST]);
    this.#go();
    this.#meet();
    this.#awake = false;
  }

  async close(): Promise<void> {
    this.rest();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #write(thread: number, words: readonly number[]): void {
    this.#words.set(words, Word.Calls + thread * CALL_WORDS);
  }

  #go(): void {
    Atomics.store(this.#words, Word.Done, 0);
    Atomics.add(this.#words, Word.Turn, 1);
  }

  #meet(): void {
    while (Atomics.load(this.#words, Word.Done) < this.threads - 1);
  }

  #wake(): void {
    Atomics.store(this.#words, Word.Done, 0);
    for (const worker of this.#workers) worker.postMessage("work");
    this.#meet();
    this.#awake = true;
  }

  /** Asks every worker something and waits until each has answered. */
  async #answers(ask: (worker: Worker) => void): Promise<void> {
    const answers = this.#workers.map(async (worker) => {
      const answer = new Promise<void>((resolve, reject) => {
        worker.once("message", () => resolve());
        worker.once("error", reject);
      });
      ask(worker);
      await answer;
    });
    await Promise.all(answers);
  }
}
