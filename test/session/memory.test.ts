/** A text that goes on and on holds no more than one that has just begun: the process and its JavaScript heap. */
import { afterAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { removeTemporary, smallFolder } from "./small.ts";

afterAll(removeTemporary);

interface Held {
  readonly tokens: number;
  readonly rss: number;
  readonly heap: number;
}

// /proc is Linux's; what a process holds is not told in the same words elsewhere.
const proc = existsSync("/proc/self/status");
if (!proc) console.warn("skipped: resident memory needs /proc/self/status");

/** Tokens of the long text: MEMORY_TOKENS=1000000 is the promise at its full length. */
const FAR = Number(process.env.MEMORY_TOKENS ?? 120_000);

test.skipIf(!proc).each([
  ["place", 1.01],
  // Nothing forces the collector of a worker, so what it holds goes up and down; a token kept each time is 30 % and more.
  ["worker", 1.2],
] as const)(
  `after ${FAR} tokens a process holds no more than what it held after 10^4 (engine: %s, ratio at most %p)`,
  async (where, most) => {
    // Several measurements of each: compilers and collectors move them on their own, and a worker's collects seldom.
    const near = [6000, 8000, 10_000, 12_000, 14_000];
    const far = [0.6, 0.7, 0.8, 0.9, 1].map((part) => part * FAR);
    const goals = [...near, ...far].map(String);
    const command = [process.execPath, join(import.meta.dir, "memory-child.ts"), smallFolder("llama-gqa-tied")];
    const child = Bun.spawn([...command, where, "20000", ...goals], { stdout: "pipe", stderr: "inherit" });
    const lines = (await new Response(child.stdout).text()).trim().split("\n");
    expect(await child.exited).toBe(0);
    const held = lines.map((line): Held => JSON.parse(line));
    expect(held.map(({ tokens }) => tokens)).toEqual([...near, ...far]);
    const least = (key: "rss" | "heap", at: Held[]) => Math.min(...at.map((one) => one[key]));
    const growth = (key: "rss" | "heap") =>
      least(key, held.slice(near.length)) / least(key, held.slice(0, near.length));
    if (process.env.MEMORY_TOKENS) for (const line of held) console.log(where, JSON.stringify(line));
    expect(growth("rss")).toBeLessThan(most);
    expect(growth("heap")).toBeLessThan(1.01);
  },
  // On a busy machine a compiler may still add a megabyte; what leaks, leaks every time.
  { timeout: 600_000, retry: 2 },
);
