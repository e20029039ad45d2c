import { mismatch, OptionError } from "../base/errors.ts";
import type { Build } from "../machine/kernels.ts";
import type { Runtime } from "./types.ts";
import { findOnWeb, openOnWeb } from "./web.ts";

/** The memory limit of an isolate on the edge, WebAssembly memory included. */
const ISOLATE_BYTES = 128 * 2 ** 20;

/**
 * An edge runtime, which cannot compile: modules are imported with the code. It has SharedArrayBuffer but no workers,
 * and its clock stands still between requests.
 */
export function edge(name: string, modules: Partial<Record<Build, WebAssembly.Module>>): Runtime {
  return {
    name,
    async kernels(build, folder) {
      if (folder === undefined) return modules[build];
      throw new OptionError(mismatch("kernels", `modules by name, as ${name} compiles nothing`, folder));
    },
    cores: 1,
    single: `${name} has no workers`,
    worker: false,
    availableMemory: () => ISOLATE_BYTES,
    locate: (where) => where,
    open: openOnWeb,
    async openLog(folder) {
      throw new OptionError(mismatch("recallStore", `a store, such as a bucket, as ${name} has no folders`, folder));
    },
    find: findOnWeb,
  };
}
