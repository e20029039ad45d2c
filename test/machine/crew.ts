/** A pool's workers as tests see them: their mailboxes, and a hand on each. */
import { join } from "node:path";
import type { Engine, LoadingOptions } from "../../src/engine/engine.ts";
import { type KernelSource, type Kernels, loadKernels } from "../../src/machine/kernels.ts";
import { Mail } from "../../src/machine/mailbox.ts";
import type { StartThread, Thread } from "../../src/machine/pool.ts";
import { bun } from "../../src/runtime/bun.ts";
import { directory } from "../../src/sources/directory.ts";
import { engineFrom, FIXTURES } from "../setup.ts";

const BUILD = "shared-plain";

export class Crew {
  /** All that were ever started. */
  readonly workers: { readonly thread: Thread; mailbox?: Int32Array; memories: WebAssembly.Memory[] }[] = [];
  readonly kernels: Kernels;
  /** Kept, because workers that know a model which is garbage are replaced. */
  readonly #engines: Engine[] = [];

  private constructor(kernels: Kernels) {
    this.kernels = kernels;
  }

  /** Kernels with a pool, of which every worker is known here. `source`: where kernels are that are not the project's. */
  static async open(start: StartThread = bun.startThread, source: KernelSource = bun.kernels): Promise<Crew> {
    const crew: Crew = new Crew(await loadKernels(source, [BUILD], () => crew.#start(start)));
    return crew;
  }

  #start(start: StartThread): Thread {
    const thread = start();
    const worker: Crew["workers"][number] = { thread, memories: [] };
    this.workers.push(worker);
    return {
      ...thread,
      post(message) {
        worker.mailbox = message.mailbox;
        worker.memories.push(message.memory);
        thread.post(message);
      },
    };
  }

  /** An engine over a checkpoint's directory or a fixture. */
  async engine(where: string, threads: number, options: LoadingOptions = {}): Promise<Engine> {
    const path = where.includes("/") ? where : join(FIXTURES, where);
    const engine = await engineFrom(directory(path), this.kernels, { ...options, threads });
    this.#engines.push(engine);
    return engine;
  }

  /** When every worker from number `from` on knows every bank. */
  async ready(from = 0): Promise<void> {
    const late = () =>
      this.workers.slice(from).some(({ mailbox: m }) => !m || Atomics.load(m, Mail.handled) !== m[Mail.posted]);
    while (late()) await Bun.sleep(1);
  }

  /** Jobs that each worker has had. */
  get jobs(): number[] {
    return this.workers.map(({ mailbox }) => mailbox?.[Mail.job] ?? 0);
  }

  /** Threads that took part in the last job of a worker. */
  threads(worker: number): number {
    return this.workers[worker]?.mailbox?.[Mail.threads] ?? 0;
  }

  stop(): void {
    for (const { thread } of this.workers) thread.terminate();
  }
}
