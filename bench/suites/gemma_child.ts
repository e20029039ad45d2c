/**
 * A model in a process of its own: `gemma_child.ts MODEL THREADS PROMPT NEW ROUNDS` reads a prompt and writes new tokens,
 * some times, and prints a Measured, and when the first token of a short prompt was there.
 */
import process from "node:process";
import { GREEDY } from "../../src/engine/sampler.ts";
import { detectHost } from "../../src/runtime/detect.ts";
import { provideRuntime } from "../../src/runtime/index.ts";
import { loadEngine, withCheckpoint } from "../../src/session/load.ts";
import { requireTokenizer } from "../../src/session/load_tokenizer.ts";
import { median } from "../interleave.ts";
import type { Measured } from "../peers/result.ts";

provideRuntime(detectHost);
const [model = "", ...numbers] = process.argv.slice(2);
const [threads = 1, promptTokens = 512, newTokens = 32, rounds = 3] = numbers.map(Number);
const start = performance.now();
const found = await withCheckpoint(model, {}, async (checkpoint, runtime): Promise<Measured> => {
  const tokenizer = await requireTokenizer(checkpoint);
  const engine = await loadEngine(checkpoint, runtime, { threads, maxSessions: 1 });
  const loadMs = performance.now() - start;
  const first = engine.open(0, 1);
  await engine.append(first, tokenizer.encode("Once upon a time"));
  await engine.next(first, GREEDY);
  engine.dispose(first);
  const firstTokenMs = performance.now() - start;
  const prompt = Array.from({ length: promptTokens }, (_, i) => 400 + ((i * 7919) % 31000));
  const [prefill, decode]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const session = engine.open(0, 1);
    const begun = performance.now();
    await engine.append(session, prompt);
    prefill.push((1000 * promptTokens) / (performance.now() - begun));
    const times: number[] = [];
    for (let i = 0; i <= newTokens; i++) {
      const before = performance.now();
      await engine.next(session, GREEDY);
      times.push(performance.now() - before);
    }
    decode.push(1000 / median(times.slice(1)));
    engine.dispose(session);
  }
  const residentMB = process.memoryUsage().rss / 1e6;
  return { prefill: median(prefill), decode: median(decode), loadMs, residentMB, firstTokenMs };
});
// Some runtimes wait for workers that are no longer needed.
process.stdout.write(`${JSON.stringify(found)}\n`, () => process.exit());
