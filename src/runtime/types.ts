import type { KernelSource } from "../machine/kernels.ts";
import type { StartThread } from "../machine/pool.ts";
import type { Files } from "../source.ts";

export interface DownloadOptions {
  readonly revision?: string | undefined;
  readonly offline?: boolean | undefined;
  readonly cacheDir?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of all files together. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined;
}

/** What a host gives: everything that differs between runtimes. */
export interface Runtime {
  /** As `--stats` prints it: name and version. */
  readonly name: string;
  readonly kernels: KernelSource;
  /** How many threads can run at once. */
  readonly cores: number;
  readonly startThread: StartThread;
  /** Bytes of memory that can still be had; undefined where nobody says. */
  availableMemory(): number | undefined;
  /** Whether `path` is a local directory. */
  isDirectory(path: string): Promise<boolean>;
  /** Whether `path` is a local file. */
  isFile(path: string): Promise<boolean>;
  directory(path: string): Files;
  /** A directory on an HTTP server. */
  webDirectory(url: string, signal?: AbortSignal): Promise<Files>;
  /** Whether `text` is spelled as a Hugging Face id. */
  isModelId(text: string): Promise<boolean>;
  /** Downloads a model from the Hugging Face hub; returns its local directory. */
  downloadModel(id: string, options: DownloadOptions): Promise<string>;
}
