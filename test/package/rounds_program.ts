/**
 * Loads, generates and disposes, round after round, and prints as a line of JSON at some of them what the process then holds;
 * run by rounds.ts. Arguments: "in place", "in a worker" or "abandoned" (a worker, and nothing is disposed of), threads, and
 * after which rounds to print. Linux alone tells.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { load } from "lambent";

const [place, threads, ...marks] = process.argv.slice(2);
const MODEL = fileURLToPath(new URL("../../models/lambent-llama-5m", import.meta.resolve("lambent")));
/** What workers that end may take for it. */
const ENDING_MS = 600;

const number = (key: string) =>
  Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))?.[1]);

async function round(): Promise<void> {
  const model = await load(MODEL, { threads: Number(threads), worker: place !== "in place" });
  await model.generate("The letter", { maxNewTokens: 8, temperature: 0 }).text();
  if (place !== "abandoned") model.dispose();
  else setTimeout(collect, 0);
}

/** Garbage is what this is about, and nothing else here makes any. */
function collect(): void {
  const { Bun, gc } = globalThis as { Bun?: { gc(force: boolean): void }; gc?(): void };
  if (Bun) Bun.gc(true);
  else gc?.();
}

let last = performance.now();
let done = 0;
for (const mark of marks.map(Number)) {
  const first = done;
  for (; done < mark; done++) await round();
  const seconds = (performance.now() - last) / 1000 / (mark - first);
  await new Promise((resolve) => setTimeout(resolve, ENDING_MS));
  console.log(JSON.stringify({ round: mark, megabytes: number("VmRSS") / 1024, threads: number("Threads"), seconds }));
  last = performance.now();
}
process.exit(0);
