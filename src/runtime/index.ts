import { LambentError } from "../base/errors.ts";
import type { Runtime } from "./types.ts";

let find = (): Promise<Runtime> => {
  throw new LambentError('no entry of lambent was imported: import "lambent", not one of its files');
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
