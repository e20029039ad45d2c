/** The phases of a start, in a process of their own; prints milliseconds of each as JSON. */
export {};

const phases: Record<string, number> = {};
let last = 0;
const mark = (name: string): void => {
  const now = performance.now();
  phases[`· ${name}`] = now - last;
  last = now;
};
mark("until our code runs");
const { loadEngine, withCheckpoint } = await import("../../src/session/load.ts");
const { requireTokenizer } = await import("../../src/session/load_tokenizer.ts");
const { GREEDY } = await import("../../src/engine/sampler.ts");
const { detectHost } = await import("../../src/runtime/detect.ts");
const { provideRuntime } = await import("../../src/runtime/index.ts");
provideRuntime(detectHost);
mark("modules");
await withCheckpoint(process.argv[2] as string, {}, async (checkpoint, runtime) => {
  mark("headers");
  const tokenizer = await requireTokenizer(checkpoint);
  mark("tokenizer");
  const engine = await loadEngine(checkpoint, runtime, { threads: 1 });
  mark("kernels, plan and weights");
  const session = engine.open(0, 1);
  await engine.append(session, tokenizer.encode("Once"));
  await engine.next(session, GREEDY);
  mark("first token");
});
console.log(JSON.stringify(phases));
