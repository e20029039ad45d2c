import type { KernelSource } from "../machine/kernels.ts";
import type { Files } from "../source.ts";

/** What a host gives: everything that differs between runtimes. */
export interface Runtime {
  /** As `--stats` prints it: name and version. */
  readonly name: string;
  /** A local directory. */
  directory(path: string): Files;
  /** Whether `path` is a directory. */
  isDirectory(path: string): Promise<boolean>;
  readonly kernels: KernelSource;
}
