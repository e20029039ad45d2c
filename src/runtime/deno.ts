import { host } from "./host.ts";
import { startersOf } from "./node.ts";

/** Deno. Its Web Workers do not say when they end, those of node:worker_threads do. */
export const deno = host({
  name: `deno ${(globalThis as unknown as { Deno: { version: { deno: string } } }).Deno.version.deno}`,
  ...startersOf(),
});
