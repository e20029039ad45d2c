import { afterAll, beforeAll, expect, test } from "bun:test";
import { Edge, type Heap } from "./edge.ts";

/** What Cloudflare gives an isolate. */
const CAP = 128 * 2 ** 20;
const MB = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MB`;

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start();
  await edge.upload();
}, 60_000);
afterAll(() => edge.stop());

/** Throws for the first sample that is beyond the cap together with `wasm` bytes. */
function holdBelow(cap: number, wasm: number, samples: readonly Heap[]): void {
  for (const [i, { objects, buffers }] of samples.entries()) {
    const total = wasm + objects + buffers;
    if (total <= cap) continue;
    const parts = `Wasm ${MB(wasm)}, objects ${MB(objects)}, buffers ${MB(buffers)}`;
    throw new Error(`memory in sample ${i}: expected at most ${MB(cap)}, found ${MB(total)} (${parts})`);
  }
}

const wish = (seed: number) => ({ prompt: "Once upon a time", seed, temperature: 0.8, ignoreEos: true });

test("128 MB are enough at every step: with every session at work, when stories are kept, and when they are resumed", async () => {
  const samples: Heap[] = [];
  // Before a token is sent, a snapshot is packed with its text, and one that was restored is released.
  const places = ['await send("token"', "bytes.set(snapshot)", "release(snapshot)"];
  await edge.watchHeap(places, (heap) => samples.push(heap));
  const sessions = Array.from({ length: 4 }, (_, i) => i);
  const told = await Promise.all(sessions.map((i) => edge.tell("/stories", { ...wish(i), maxNewTokens: 200 })));
  const paths = told.map(({ done }) => `/stories/${done?.id}`);
  await Promise.all(paths.map((path) => edge.tell(path, { ...wish(0), maxNewTokens: 100 })));
  // Snapshots are the largest buffers: the more of them, the more can wait for the garbage collector.
  for (let i = 0; i < 50; i++) await edge.tell(paths[0] as string, { maxNewTokens: 1, ignoreEos: true });
  const steps = 4 * (200 + 100) + 50;
  expect(samples.length).toBeGreaterThan(steps);
  // It never shrinks, so it was never larger.
  const wasm = (await edge.health()).memoryBytes;
  const sum = ({ objects, buffers }: Heap) => wasm + objects + buffers;
  const most = samples.reduce((most, sample) => (sum(sample) > sum(most) ? sample : most));
  console.log(
    `${samples.length} samples in ${steps} steps, at most ${MB(sum(most))}: Wasm ${MB(wasm)}, objects ` +
      `${MB(most.objects)}, buffers ${MB(most.buffers)}; the process at its peak, buckets and all: ${MB(edge.processPeak())}`,
  );
  holdBelow(CAP, wasm, samples);
  // The check can fail.
  expect(() => holdBelow(20 * 2 ** 20, wasm, samples)).toThrow("expected at most 20.0 MB, found");
});

test("neither Wasm memory nor objects grow with a story", async () => {
  await edge.stop();
  edge = await Edge.start();
  const first = await edge.tell("/stories", { ...wish(0), maxNewTokens: 300 });
  const path = `/stories/${first.done?.id}`;
  const [memory, heap] = [(await edge.health()).memoryBytes, await edge.heapInUse()];
  for (let i = 0; i < 3; i++) await edge.tell(path, { maxNewTokens: 1000, ignoreEos: true, temperature: 0.8 });
  const [memoryAfter, heapAfter] = [(await edge.health()).memoryBytes, await edge.heapInUse()];
  console.log(`after 300 tokens ${MB(memory)} + ${MB(heap)}, after 3300 ${MB(memoryAfter)} + ${MB(heapAfter)}`);
  expect(memoryAfter).toBe(memory);
  // A token would have 100 bytes if each left as little as its text and number behind.
  expect(heapAfter - heap).toBeLessThan(3000 * 100);
});
