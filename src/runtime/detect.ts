import type { Runtime } from "./types.ts";

/** Which of the hosts with a file system this is: Bun, Deno, or Node and compatible ones. */
export async function detectHost(): Promise<Runtime> {
  if ("Bun" in globalThis) return (await import("./bun.ts")).bun;
  if ("Deno" in globalThis) return (await import("./deno.ts")).deno;
  return (await import("./node.ts")).node;
}
