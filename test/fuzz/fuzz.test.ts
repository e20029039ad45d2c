import { expect, test } from "bun:test";
import { join } from "node:path";
import { RUNS } from "../formats/files.ts";
import { ROOT } from "../setup.ts";
import { attempt } from "./attempt.ts";
import { draftOf, FIXTURE_NAMES, GGUFS } from "./draft.ts";
import type { Count } from "./run.ts";
import { Watch } from "./watch.ts";
import { KIND_NAMES } from "./weight_kinds.ts";

const TIMEOUT = 300_000 * RUNS;

/** What a process of its own prints of these kinds. */
async function run(kinds: readonly string[]): Promise<string> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "run.ts"), ...kinds], {
    cwd: ROOT,
    env: { ...process.env, BUN_JSC_useWasmFastMemory: "0" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect(stderr).toBe("");
  expect(await child.exited).toBe(0);
  return stdout;
}

test(
  "a damaged model works or is refused in one short line, and takes no more than its size justifies",
  async () => {
    // Every other kind each: two processes take half the time of one.
    const halves = [0, 1].map((half) => run(KIND_NAMES.filter((_, i) => i % 2 === half)));
    const stdout = (await Promise.all(halves)).join("");
    const counts: Count[] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    // The changes are not all alike, and not all of them harmless.
    for (const { kind, refused, ways } of counts) expect([kind, refused > 20, ways > 1]).toEqual([kind, true, true]);
    const cases = counts.reduce((sum, { works, refused }) => sum + works + refused, 0);
    expect(cases).toBeGreaterThanOrEqual(10_000 * RUNS);
    if (RUNS > 1) console.log(`${stdout}${cases} cases`);
  },
  TIMEOUT,
);

test("a model that is not damaged works", async () => {
  const watch = new Watch();
  try {
    const names = [...FIXTURE_NAMES, ...GGUFS.map((base) => base.name)];
    for (const name of names) expect([name, await attempt(draftOf(name), watch)]).toEqual([name, "works"]);
  } finally {
    watch.end();
  }
});
