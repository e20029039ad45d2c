// node-llama-cpp on one model: node native.mjs <file.gguf> <threads> <prompt ids> <new ids> <rounds>
import { readFileSync } from "node:fs";
import { getLlama } from "node-llama-cpp";

const [file, ...numbers] = process.argv.slice(2);
const [threads, promptLength, newIds, rounds] = numbers.map(Number);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const llama = await getLlama({
  ...{ gpu: false, build: "never", skipDownload: true },
  ...{ maxThreads: threads, logLevel: "error" },
});
const start = performance.now();
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({ contextSize: 1024, batchSize: 512, threads, sequences: 1 });
const loadMs = performance.now() - start;
const sequence = context.getSequence();
const prompt = Array.from({ length: promptLength }, (_, i) => 400 + ((i * 7919) % 31000));
const prefill = [];
const decode = [];
for (let round = 0; round < rounds; round++) {
  await sequence.clearHistory();
  const begun = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt);
  prefill.push((promptLength / (performance.now() - begun)) * 1000);
  const times = [];
  let last = performance.now();
  for await (const _ of sequence.evaluate([500], { temperature: 0, yieldEogToken: true })) {
    const now = performance.now();
    times.push(now - last);
    last = now;
    if (times.length > newIds) break;
  }
  // The first holds the start of the generation.
  decode.push(1000 / median(times.slice(1)));
}
// Which of the libraries for this processor it picked: a line of /proc/self/maps where there is one.
const maps = process.platform === "linux" ? readFileSync("/proc/self/maps", "utf8") : "";
const library = /libggml-cpu-\w+/.exec(maps)?.[0];
console.log(
  JSON.stringify({
    prefill: median(prefill),
    decode: median(decode),
    loadMs,
    residentMB: process.memoryUsage.rss() / 1e6,
    note: library,
  }),
);
process.exit(0);
