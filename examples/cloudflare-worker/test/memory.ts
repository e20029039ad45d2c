import { afterAll, beforeAll, expect, test } from "bun:test";
import { Edge } from "./edge.ts";

/** What Cloudflare gives an isolate. */
const CAP = 128 * 2 ** 20;
const MB = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MB`;

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start();
  await edge.upload();
}, 60_000);
afterAll(() => edge.stop());

type Memory = Awaited<ReturnType<Edge["memory"]>>;

/** Throws for the first sample that is beyond the cap. */
function holdBelow(cap: number, samples: readonly Memory[]): void {
  for (const [i, { total, wasm, heap, buffers }] of samples.entries()) {
    if (total <= cap) continue;
    const parts = `Wasm ${MB(wasm)}, heap ${MB(heap)}, buffers ${MB(buffers)}`;
    throw new Error(`memory in sample ${i}: expected at most ${MB(cap)}, found ${MB(total)} (${parts})`);
  }
}

/** Samples of memory, taken one after the other until `work` is done. */
async function during(work: Promise<unknown>): Promise<Memory[]> {
  let working = true;
  const done = work.finally(() => (working = false));
  const samples: Memory[] = [];
  while (working) samples.push(await edge.memory());
  await done;
  return samples;
}

const wish = (seed: number) => ({ prompt: "Once upon a time", seed, temperature: 0.8, ignoreEos: true });

test("128 MB are enough at every step: from before the model is loaded, with every session at work, and when resumed", async () => {
  let steps = 0;
  const tell = (path: string, body: object) => edge.tell(path, body, () => steps++);
  const stories = async () => {
    const sessions = Array.from({ length: 4 }, (_, i) => i);
    const told = await Promise.all(sessions.map((i) => tell("/stories", { ...wish(i), maxNewTokens: 300 })));
    await Promise.all(told.map(({ done }) => tell(`/stories/${done?.id}`, { maxNewTokens: 300, ignoreEos: true })));
    // Token by token: memory is looked at between any two of them.
    for (let i = 0; i < 50; i++) await tell(`/stories/${told[0]?.done?.id}`, { maxNewTokens: 1, ignoreEos: true });
  };
  const samples = await during(stories());
  const most = samples.reduce((most, sample) => (sample.total > most.total ? sample : most));
  console.log(
    `${samples.length} samples during ${steps} steps, at most ${MB(most.total)}: Wasm ${MB(most.wasm)}, ` +
      `V8's heap ${MB(most.heap)}, buffers ${MB(most.buffers)}; the process at its peak: ${MB(edge.processPeak())}`,
  );
  holdBelow(CAP, samples);
  // The check can fail.
  expect(() => holdBelow(20 * 2 ** 20, samples)).toThrow("expected at most 20.0 MB, found");
});

test("neither Wasm memory nor objects grow with a story", async () => {
  const first = await edge.tell("/stories", { ...wish(0), maxNewTokens: 300 });
  const path = `/stories/${first.done?.id}`;
  const [memory, heap] = [(await edge.memory()).wasm, await edge.heapInUse()];
  for (let i = 0; i < 3; i++) await edge.tell(path, { maxNewTokens: 1000, ignoreEos: true, temperature: 0.8 });
  const [memoryAfter, heapAfter] = [(await edge.memory()).wasm, await edge.heapInUse()];
  console.log(`after 300 tokens ${MB(memory)} + ${MB(heap)}, after 3300 ${MB(memoryAfter)} + ${MB(heapAfter)}`);
  expect(memoryAfter).toBe(memory);
  // A token would have 100 bytes if each left as little as its text and number behind.
  expect(heapAfter - heap).toBeLessThan(3000 * 100);
});
