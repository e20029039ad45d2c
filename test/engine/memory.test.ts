/** A session that goes on and on holds no more than one that has just begun: the process and its JavaScript heap. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FIXTURES } from "../setup.ts";
import { PATIENCE } from "./tiny.ts";

interface Held {
  readonly tokens: number;
  readonly rss: number;
  readonly heap: number;
}

const middle = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] as number;

// /proc is Linux's; what a process holds is not told in the same words elsewhere.
const proc = existsSync("/proc/self/status");
if (!proc) console.warn("skipped: resident memory needs /proc/self/status");

test.skipIf(!proc)(
  "after 10^5 tokens a process holds no more than 1 % above what it held after 10^4",
  async () => {
    // Three measurements around each, for compilers and collectors move them by almost 1 % on their own.
    const near = [9000, 10_000, 11_000];
    const far = [98_000, 99_000, 100_000];
    const goals = [...near, ...far].map(String);
    const command = [process.execPath, join(import.meta.dir, "memory-child.ts"), join(FIXTURES, "llama-gqa-tied")];
    const child = Bun.spawn([...command, "16", "20000", ...goals], { stdout: "pipe", stderr: "inherit" });
    const lines = (await new Response(child.stdout).text()).trim().split("\n");
    expect(await child.exited).toBe(0);
    const held = lines.map((line): Held => JSON.parse(line));
    expect(held.map(({ tokens }) => tokens)).toEqual([...near, ...far]);
    const growth = (key: "rss" | "heap"): number =>
      middle(held.slice(3).map((at) => at[key])) / middle(held.slice(0, 3).map((at) => at[key]));
    expect(growth("rss")).toBeLessThan(1.01);
    expect(growth("heap")).toBeLessThan(1.01);
  },
  // On a busy machine a compiler may still add a megabyte; what leaks, leaks every time.
  { timeout: PATIENCE, retry: 2 },
);
