/**
 * Generates without an end and prints what the process holds, as JSON lines, when so many tokens are done; run by
 * memory.test.ts. Arguments: directory of the checkpoint, "place" or "worker", tokens to generate beforehand (until the
 * engine's code is compiled by its last compiler), then the numbers of tokens, ascending.
 */

import { heapStats } from "bun:jsc";
import { readFileSync } from "node:fs";
import { load } from "../../src/entry/index.ts";

const [directory = "", where = "", warmUp = "", ...goals] = process.argv.slice(2);
const model = await load(directory, { nLocal: 16, nGlobal: 4, maxSessions: 1, threads: 1, worker: where === "worker" });
const sampling = { temperature: 1, topK: 20, topP: 0.95, repetitionPenalty: 1.1, seed: 1 };

await generate([Number(warmUp)]);
await generate(goals.map(Number), async (tokens) => console.log(JSON.stringify({ tokens, ...(await held()) })));
model.dispose();

/** Reads a text of its own, and stops at each of so many tokens. */
async function generate(stops: number[], then?: (tokens: number) => Promise<void>): Promise<void> {
  const generation = model.generate([3, 4, 5], { ...sampling, maxNewTokens: -1, ignoreEos: true });
  const stop = new Set(stops);
  let tokens = 0;
  for await (const _ of generation.tokens()) {
    if (!stop.has(++tokens)) continue;
    await then?.(tokens);
    if (tokens === stops.at(-1)) break;
  }
}

/** Bytes of the process and of live objects; the least of several, for collectors and compilers work on their own time. */
async function held(): Promise<{ rss: number; heap: number }> {
  let rss = Infinity;
  let heap = Infinity;
  for (let i = 0; i < 4; i++) {
    Bun.gc(true);
    await Bun.sleep(50);
    heap = Math.min(heap, heapStats().heapSize);
    rss = Math.min(rss, residentBytes());
  }
  return { rss, heap };
}

function residentBytes(): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(found?.[1]) * 1024;
}
