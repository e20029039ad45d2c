import type { ByteSource, Files } from "../base/source.ts";
import type { Build, KernelSource } from "../machine/kernels.ts";
import type { StartThread, Thread } from "../machine/pool.ts";

/** What may be said of a model that is looked for by name. */
export interface FindOptions {
  /** Of a Hugging Face id: branch, tag or commit. */
  readonly revision?: string | undefined;
  /** Only what was downloaded before. */
  readonly offline?: boolean | undefined;
  readonly cacheDir?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of a download, all files together. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
}

/** One end of a line between two threads. Messages are cloned, but for what is transferred. */
export interface Port {
  post(message: unknown, transfer?: ArrayBuffer[]): void;
  listen(handler: (message: unknown) => void): void;
  /** Whether the process has to wait for a message; absent where nothing ends by itself. */
  hold?(waits: boolean): void;
}

/** A worker that serves an engine, and the line to it. */
export type EngineThread = Omit<Thread, "post"> & Port;

/** What a host gives: everything that differs between runtimes. */
export interface Runtime {
  /** As `--stats` prints it: name and version. */
  readonly name: string;
  /** A build of the kernels as it comes with the code, or from a folder: a directory or a URL. */
  readonly kernels: (build: Build, folder?: string) => ReturnType<KernelSource>;
  /** How many threads can run at once. */
  readonly cores: number;
  /** A thread of the pool; without it, `single` says why there are none. */
  readonly startThread?: StartThread | undefined;
  readonly single?: string | undefined;
  /** Whether this thread may not wait for others: a page's may not, its workers may. */
  readonly restless?: boolean | undefined;
  /** A worker that serves an engine; absent where there are no workers. */
  readonly startEngine?: (() => EngineThread) | undefined;
  /** Whether engines are in workers unless told otherwise. */
  readonly worker: boolean;
  /** Bytes of memory that can still be had; undefined where nobody says. */
  availableMemory(): number | undefined;
  /** The same place, as other threads of this host understand it. */
  locate(where: string): string;
  /** A file that came with the code; undefined if there is none. */
  open(url: URL): Promise<ByteSource | undefined>;
  /** The files of a model. Throws OptionError for what is no place here. */
  find(where: string, options: FindOptions): Promise<Files>;
}
