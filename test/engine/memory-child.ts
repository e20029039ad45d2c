/**
 * Generates with one session and prints what the process holds, as JSON lines, when so many tokens are done; run by
 * memory.test.ts. Arguments: directory of the checkpoint, nLocal, tokens to generate beforehand (until the engine's code is
 * compiled by its last compiler), then the numbers of tokens, ascending.
 */

import { heapStats } from "bun:jsc";
import { existsSync, readFileSync } from "node:fs";
import { GREEDY } from "../../src/engine/sampler.ts";
import { openEngine } from "../setup.ts";

const [directory = "", nLocal = "", warmUp = "", ...goals] = process.argv.slice(2);
const sampling = { ...GREEDY, doSample: true, topK: 20, topP: 0.95, repetitionPenalty: 1.1 };
const engine = await openEngine(directory, { nLocal: Number(nLocal), nGlobal: 4, maxSessions: 1 });

await generate([Number(warmUp)]);
await generate(goals.map(Number), async (tokens) => console.log(JSON.stringify({ tokens, ...(await held()) })));

/** Generates in a session of its own, and stops at each of so many tokens. */
async function generate(stops: number[], then?: (tokens: number) => Promise<void>): Promise<void> {
  const session = engine.open(0, 1);
  await engine.append(session, [1, 2, 3]);
  let tokens = 0;
  for (const stop of stops) {
    for (; tokens < stop; tokens++) await engine.next(session, sampling);
    await then?.(tokens);
  }
  engine.dispose(session);
}

/** Bytes of the process and of live objects; the least of several, for collectors and compilers work on their own time. */
async function held(): Promise<{ rss: number | undefined; heap: number }> {
  let rss = residentBytes();
  let heap = Infinity;
  for (let i = 0; i < 4; i++) {
    Bun.gc(true);
    await Bun.sleep(50);
    heap = Math.min(heap, heapStats().heapSize);
    if (rss !== undefined) rss = Math.min(rss, residentBytes() as number);
  }
  return { rss, heap };
}

function residentBytes(): number | undefined {
  if (!existsSync("/proc/self/status")) return undefined;
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(found?.[1]) * 1024;
}
