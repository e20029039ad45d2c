/** Where Bun, Deno and Node find files that come with the code, and that may be missing in a bundle. */
import { pathToFileURL } from "node:url";
import { messageOf } from "../base/realm.ts";
import type { Build } from "../machine/kernels.ts";
import { KERNELS } from "./addresses.ts";

/** Set in CommonJS, where `import.meta.url` is not. */
declare const __filename: string | undefined;

/** The URL of this file, or of the bundle that contains it. Written so that bundlers do not recognise it as one. */
const HERE: string = import.meta.url ?? pathToFileURL(typeof __filename === "string" ? __filename : "a bundle").href;

/**
 * A worker's code, relative to this file. By way of its room, "../machine/…", so that the address is the same from the
 * bundle of the command line (scripts/build.ts).
 */
export function codeAt(path: string): URL {
  return new URL(path, HERE);
}

/** Where a build of the kernels may be: in the package, where a bundler has put it, beside a bundle. */
export function kernelsAt(build: Build): URL[] {
  const places = [() => codeAt(`../../build/${build}.wasm`), KERNELS[build], () => codeAt(`${build}.wasm`)];
  const found = places.flatMap((address) => {
    try {
      return address().href;
    } catch {
      return [];
    }
  });
  return [...new Set(found)].map((href) => new URL(href));
}

/** Why a worker has ended: if its code was not found, with what to do about it. */
export function endOf(error: unknown): unknown {
  const text = `${messageOf(error)}`;
  const missing = /module ?not ?found|cannot find (module|package)/i.test(text);
  return missing ? `workers need the package outside of a bundle (external): ${text}` : error;
}
