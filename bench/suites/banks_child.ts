/** One model in a process of its own: `banks_child.ts DIR DTYPE THREADS` loads it, writes 20 tokens, prints a BankRun. */

import { GREEDY } from "../../src/engine/sampler.ts";
import { detectHost } from "../../src/runtime/detect.ts";
import { provideRuntime } from "../../src/runtime/index.ts";
import { inspect, loadEngine, withCheckpoint } from "../../src/session/load.ts";
import { someTokens } from "../subject.ts";
import type { BankRun } from "./banks.ts";

provideRuntime(detectHost);
const [path, dtype, threads] = process.argv.slice(2) as [string, "q8", string];
const options = { dtype, threads: Number(threads), maxSessions: 1 };
const { plan } = await inspect(path, options);
const before = process.memoryUsage.rss();
const run = await withCheckpoint(path, options, async (checkpoint, runtime): Promise<BankRun> => {
  const begun = performance.now();
  const engine = await loadEngine(checkpoint, runtime, options);
  const loaded = performance.now();
  const session = engine.open(0, 1);
  await engine.append(session, someTokens(32, engine.program.vocabSize));
  const read = performance.now();
  await engine.next(session, GREEDY);
  const first = performance.now();
  for (let i = 0; i < 20; i++) await engine.next(session, GREEDY);
  return {
    banks: plan.banks.length,
    plannedBytes: plan.memoryBytes,
    residentBytes: process.memoryUsage.rss() - before,
    loadSeconds: (loaded - begun) / 1000,
    promptTokensPerSecond: 32000 / (read - loaded),
    newTokensPerSecond: 20000 / (performance.now() - first),
  };
});
console.log(JSON.stringify(run));
