// node-llama-cpp for several clients at once:
// node native_clients.mjs <file.gguf> <threads> <prompt ids> <clients> <rounds> <new ids> <context of each>
import { getLlama } from "node-llama-cpp";

const [file, ...numbers] = process.argv.slice(2);
const [threads, promptLength, clients, rounds, newIds, contextSize] = numbers.map(Number);

const llama = await getLlama({
  ...{ gpu: false, build: "never", skipDownload: true },
  ...{ maxThreads: threads, logLevel: "error" },
});
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({ contextSize, batchSize: 512, threads, sequences: clients });
const sequences = Array.from({ length: clients }, () => context.getSequence());

const promptOf = (number) =>
  Array.from({ length: promptLength }, (_, i) => 400 + (((i + 1) * 7919 + number * 104_729) % 3000));

/** When each new token came, in milliseconds since it was asked for. */
async function ask(sequence, prompt) {
  await sequence.clearHistory();
  const begun = performance.now();
  const times = [];
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    times.push(performance.now() - begun);
    if (times.length === newIds) break;
  }
  return times;
}

const warming = sequences.slice(0, 4);
for (let round = 0; round < 2; round++) {
  await Promise.all(warming.map((sequence, i) => ask(sequence, promptOf(clients * rounds + i))));
}
const requests = [];
const begun = performance.now();
await Promise.all(
  sequences.map(async (sequence, client) => {
    for (let round = 0; round < rounds; round++) requests.push(await ask(sequence, promptOf(round * clients + client)));
  }),
);
const seconds = (performance.now() - begun) / 1000;
console.log(JSON.stringify({ seconds, requests, residentMB: process.memoryUsage.rss() / 1e6 }));
process.exit(0);
