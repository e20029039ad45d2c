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

const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] as number;

// /proc is Linux's; what a process holds is not told in the same words elsewhere.
const proc = existsSync("/proc/self/status");
if (!proc) console.warn("skipped: resident memory needs /proc/self/status");

/** Tokens of the long text: MEMORY_TOKENS=1000000 is the promise at its full length. */
const FAR = Number(process.env.MEMORY_TOKENS ?? 60_000);

test.skipIf(!proc).each(["place", "worker"])(
  `after ${FAR} tokens a process holds no more than 1 %% above what it held after 10^4 (engine: %s)`,
  async (where) => {
    // Three measurements around each, for compilers and collectors move them by almost 1 % on their own.
    const near = [9000, 10_000, 11_000];
    const far = [FAR - 2000, FAR - 1000, FAR];
    const goals = [...near, ...far].map(String);
    const command = [process.execPath, join(import.meta.dir, "memory-child.ts"), smallFolder("llama-gqa-tied")];
    const child = Bun.spawn([...command, where, "20000", ...goals], { stdout: "pipe", stderr: "inherit" });
    const lines = (await new Response(child.stdout).text()).trim().split("\n");
    expect(await child.exited).toBe(0);
    const held = lines.map((line): Held => JSON.parse(line));
    expect(held.map(({ tokens }) => tokens)).toEqual([...near, ...far]);
    const around = (key: "rss" | "heap", at: Held[]) => middle(at.map((one) => one[key]));
    const growth = (key: "rss" | "heap") => around(key, held.slice(3)) / around(key, held.slice(0, 3));
    if (process.env.MEMORY_TOKENS) for (const line of held) console.log(where, JSON.stringify(line));
    expect(growth("rss")).toBeLessThan(1.01);
    expect(growth("heap")).toBeLessThan(1.01);
  },
  // On a busy machine a compiler may still add a megabyte; what leaks, leaks every time.
  { timeout: 600_000, retry: 2 },
);
