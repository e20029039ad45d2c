import { LambentError } from "../base/errors.ts";
import type { Runtime } from "./types.ts";

let find = (): Promise<Runtime> => {
  throw new LambentError("runtime: expected an entry of the package to be imported, found none");
};
let found: Promise<Runtime> | undefined;

/** Says what this code runs in; every entry of the package does, by its own modules. */
export function provideRuntime(runtime: () => Promise<Runtime>): void {
  find = runtime;
  found = undefined;
}

/** The runtime that this code runs in. */
export function currentRuntime(): Promise<Runtime> {
  found ??= find();
  return found;
}
