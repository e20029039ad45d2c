import type { ByteSource, Files } from "../base/source.ts";
import type { Build, KernelSource } from "../machine/kernels.ts";
import type { StartThread, Thread } from "../machine/pool.ts";
import type { LogStore } from "../store/log_store.ts";

/** Options for finding a model by name. */
export interface FindOptions {
  /** Of a model on the hub: branch, tag or commit. */
  readonly revision?: string | undefined;
  /** The GGUF file in the directory that is meant. */
  readonly file?: string | undefined;
  /** The files that are needed of a place on the hub, instead of a model's. */
  readonly only?: readonly string[] | undefined;
  /** Use only what was downloaded before. */
  readonly offline?: boolean | undefined;
  readonly cacheDir?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes of a download, all files together, and their total. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
}

/** One end of a connection between two threads. Messages are cloned, except what is transferred. */
export interface Port {
  post(message: unknown, transfer?: ArrayBuffer[]): void;
  listen(handler: (message: unknown) => void): void;
  /** Whether the process has to wait for a message; absent where nothing exits on its own. */
  hold?(waits: boolean): void;
}

/** A worker that serves an engine, and the connection to it. */
export type EngineThread = Omit<Thread, "post"> & Port;

/** A host: everything that differs between runtimes. */
export interface Runtime {
  /** Name and version, as `--stats` prints them. */
  readonly name: string;
  /** A build of the kernels, as it comes with the code or from a folder: a directory or a URL. */
  readonly kernels: (build: Build, folder?: string) => ReturnType<KernelSource>;
  /** How many threads can run at once. */
  readonly cores: number;
  /** Starts a thread of the pool; if absent, `single` says why there are none. */
  readonly startThread?: StartThread | undefined;
  readonly single?: string | undefined;
  /** Whether this thread may not block: a page's may not, its workers may. */
  readonly restless?: boolean | undefined;
  /** Starts a worker that serves an engine; absent where there are no workers. */
  readonly startEngine?: (() => EngineThread) | undefined;
  /** Whether engines are in workers by default. */
  readonly worker: boolean;
  /** Bytes of available memory; undefined if unknown. */
  availableMemory(): number | undefined;
  /** The same place in a form that other threads of this host understand. */
  locate(where: string): string;
  /** A file that came with the code; undefined if it does not exist. */
  open(url: URL): Promise<ByteSource | undefined>;
  /** A store for logs of sessions: a folder. */
  openLog(folder: string): Promise<LogStore>;
  /** The files of a model. Throws OptionError for a place that this host does not support. */
  find(where: string, options: FindOptions): Promise<Files>;
}
