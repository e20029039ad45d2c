import { LambentError } from "../base/errors.ts";
import type { Runtime } from "./types.ts";

let find = (): Promise<Runtime> => {
  throw new LambentError("runtime: expected an entry of the package to be imported, found none");
};
let found: Promise<Runtime> | undefined;

/** Sets the runtime of this code; every entry of the package does, by its own modules. */
export function provideRuntime(runtime: () => Promise<Runtime>): void {
  find = runtime;
  found = undefined;
}

/** The runtime of this code. Throws LambentError if no entry of the package was imported. */
export function currentRuntime(): Promise<Runtime> {
  found ??= find();
  return found;
}
