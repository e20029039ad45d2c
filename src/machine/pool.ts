import { LambentError } from "../base/errors.ts";
import type { KernelExports } from "./kernel_exports.ts";
import { type Attachment, abort, aborted, generation, Mail, reset, setSpins } from "./mailbox.ts";

/** `worker.ts` in a thread of its own, made by the runtime. It keeps no process alive. */
export interface Thread {
  post(message: Attachment): void;
  /** Ends it, at the latest when it comes out of the kernels. */
  terminate(): void;
  /** Settles when it has ended, with the error that it ended by, if there was one. */
  readonly ended: Promise<unknown>;
}

/** Starts a worker that becomes a thread of the pool. */
export type StartThread = () => Thread;

/** A program to be run over one bank's memory, which was attached to the pool as `bank`. */
export interface Job {
  readonly bank: number;
  readonly memory: WebAssembly.Memory;
  readonly kernels: KernelExports;
  readonly program: number;
  readonly step: number;
  readonly control: number;
}

/**
 * How long a thread looks for the others at a barrier before it sleeps, in ms: where every thread has a core to itself that
 * is as quick as looking on; where one has not, fewer threads are soon taken (thread_choice.ts, docs/LOG.md).
 */
const LOOKING = 0.05;

/** Jobs before which the turns of that loop are measured: V8 makes it three times as fast after a while. */
const MEASURED_AT: readonly number[] = [0, 100, 1000];

/** How long threads may take to come out of a step that has failed, in ms: those at a barrier, and those in a kernel. */
const HOMEWARD = 100;
const PATIENCE = 10_000;

/** A worker and its mailbox. */
class Helper {
  readonly thread: Thread;
  readonly #mailbox = new Int32Array(new SharedArrayBuffer(4 * Mail.Words));
  #posted = 0;
  #job = 0;

  constructor(thread: Thread) {
    this.thread = thread;
  }

  attach(module: WebAssembly.Module, bank: number, memory: WebAssembly.Memory): void {
    // First: a worker that gets a message it was not told of would go on waiting for the next one.
    Atomics.store(this.#mailbox, Mail.posted, ++this.#posted);
    this.thread.post({ mailbox: this.#mailbox, module, bank, memory });
    this.#wake();
  }

  begin({ bank, program, step, control }: Job, thread: number, threads: number): void {
    this.#mailbox.set([bank, program, step, control, thread, threads], Mail.bank);
    Atomics.store(this.#mailbox, Mail.job, ++this.#job);
    this.#wake();
  }

  #wake(): void {
    Atomics.add(this.#mailbox, Mail.turn, 1);
    Atomics.notify(this.#mailbox, Mail.turn);
  }

  get started(): boolean {
    return Atomics.load(this.#mailbox, Mail.handled) > 0;
  }

  /** Whether it knows every bank. */
  get ready(): boolean {
    return Atomics.load(this.#mailbox, Mail.handled) === this.#posted;
  }

  /** Whether it has done its part of the last job. */
  get done(): boolean {
    return Atomics.load(this.#mailbox, Mail.done) === this.#job;
  }
}

/**
 * The workers of a process: they help the thread that runs a job, which is thread 0 and takes part. A job begins with as
 * many as are ready, so no job waits for a worker to start; what is computed does not depend on their number.
 */
export class Pool {
  readonly #module: WebAssembly.Module;
  readonly #start: StartThread;
  readonly #helpers = new Set<Helper>();
  readonly #memories = new Map<number, WebAssembly.Memory>();
  readonly #owners = new FinalizationRegistry<readonly number[]>((banks) => this.#detach(banks));
  #nextBank = 0;
  /** Whether workers end before they have begun here. */
  #broken = false;
  #trial: Promise<unknown> | undefined;
  #settled: Promise<void> | undefined;
  /** Turns of the kernels' spin loop that take LOOKING here, and the jobs so far. */
  #spins = 0;
  #jobs = 0;

  constructor(module: WebAssembly.Module, start: StartThread) {
    this.#module = module;
    this.#start = start;
  }

  /** The memories of a machine that will run with so many threads, until it is garbage; returns their numbers. */
  attach(owner: object, memories: readonly WebAssembly.Memory[], threads: number): number[] {
    const banks = memories.map((memory) => {
      const bank = this.#nextBank++;
      this.#memories.set(bank, memory);
      for (const helper of this.#helpers) helper.attach(this.#module, bank, memory);
      return bank;
    });
    this.#owners.register(owner, banks);
    this.#hire(threads);
    return banks;
  }

  /** A worker frees no memory while it sleeps, so those that know these banks end; a job that needs some makes new ones. */
  #detach(banks: readonly number[]): void {
    for (const bank of banks) this.#memories.delete(bank);
    this.#dismiss();
  }

  #dismiss(): Thread[] {
    const threads = [...this.#helpers].map(({ thread }) => thread);
    this.#helpers.clear();
    for (const thread of threads) thread.terminate();
    return threads;
  }

  /** Starts workers until there are enough for `threads` threads, where workers can be started. */
  #hire(threads: number): void {
    while (!this.#broken && this.#helpers.size < threads - 1) {
      try {
        const helper = new Helper(this.#start());
        this.#helpers.add(helper);
        helper.thread.ended.then(() => {
          // Those that were dismissed are not among them any more.
          if (this.#helpers.delete(helper) && !helper.started) this.#broken = true;
        });
        for (const [bank, memory] of this.#memories) helper.attach(this.#module, bank, memory);
      } catch {
        this.#broken = true;
      }
    }
  }

  /** Whether workers start here: undefined, or what they end by instead. Tried once, by one that ends then. */
  trial(): Promise<unknown> {
    this.#trial ??= this.#try();
    return this.#trial;
  }

  async #try(): Promise<unknown> {
    try {
      const helper = new Helper(this.#start());
      let end: { readonly reason: unknown } | undefined;
      helper.thread.ended.then((reason = "they end at once") => (end = { reason }));
      helper.attach(this.#module, 0, new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }));
      while (!helper.started && !end) await new Promise((resolve) => setTimeout(resolve, 1));
      helper.thread.terminate();
      if (helper.started) return undefined;
      this.#broken = true;
      return end?.reason;
    } catch (error) {
      this.#broken = true;
      return error;
    }
  }

  /** How many of `threads` threads there can be. */
  size(threads: number): number {
    return this.#broken ? Math.min(threads, 1 + [...this.#helpers].filter(({ started }) => started).length) : threads;
  }

  /**
   * Pending while threads of a step that failed may still be in their kernels; a job before then could meet them there.
   * Rejects with LambentError if they take too long.
   */
  get settled(): Promise<void> | undefined {
    return this.#settled;
  }

  /**
   * Runs a job with at most `threads` threads; returns how many records were executed. Throws LambentError if a worker is
   * lost on the way: the job is done in part then, and the next one gets new workers.
   */
  run(job: Job, threads: number): number {
    const { memory, control } = job;
    this.#hire(this.#settled ? 1 : threads);
    const helpers = [...this.#helpers].filter(({ ready }) => ready).slice(0, threads - 1);
    const all = helpers.length + 1;
    reset(memory, control);
    if (helpers.length) {
      if (MEASURED_AT.includes(this.#jobs++)) this.#spins = turnsWithin(LOOKING, job);
      setSpins(memory, control, this.#spins);
    }
    for (const [i, helper] of helpers.entries()) helper.begin(job, i + 1, all);
    try {
      const records = job.kernels.run(job.program, job.step, control, 0, all);
      // Behind the last barrier they still look for a next record, which the caller may write over.
      if (!aborted(memory, control) && allDone(helpers, PATIENCE)) return records;
    } catch (error) {
      abort(memory, control);
      this.#fail();
      throw error;
    }
    allDone(helpers, HOMEWARD);
    const lost = helpers.flatMap(({ done }, i) => (done ? [] : [i + 1]));
    this.#fail();
    throw new LambentError(`the step lost thread ${lost.join(", ")} of ${all}`);
  }

  #fail(): void {
    const threads = this.#dismiss();
    const ended = Promise.all(threads.map((thread) => thread.ended)).then(() => {
      clearTimeout(timer);
      this.#settled = undefined;
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new LambentError("threads of a step that failed are still running"));
      }, PATIENCE);
    });
    this.#settled = Promise.race([ended, late]);
    // It may never be awaited.
    this.#settled.catch(() => {});
  }
}

/** Waits until every helper has done its part of its job, at most so many ms; false if one has not. */
function allDone(helpers: readonly Helper[], patience: number): boolean {
  let until = 0;
  while (helpers.some(({ done }) => !done)) {
    until ||= performance.now() + patience;
    if (performance.now() > until) return false;
  }
  return true;
}

/** Turns of the spin loop in so many ms: engines differ by several times. Takes about a millisecond. */
function turnsWithin(ms: number, { kernels, memory, control }: Job): number {
  const now = generation(memory, control);
  const turns = 10_000;
  let least = Infinity;
  for (let round = 0; round < 10; round++) {
    const begun = performance.now();
    kernels.spin(control, now, turns);
    least = Math.min(least, performance.now() - begun);
  }
  return Math.max(turns / 100, Math.min(10 * turns, Math.round((turns * ms) / least)));
}
