// wllama in a page: /?threads=&prompt=&new=&rounds=, the model at /model.gguf. Posts tokens per second to /result.
import { LoggerWithoutDebug, Wllama } from "/node_modules/@wllama/wllama/esm/index.js";

const parameter = (name) => Number(new URLSearchParams(location.search).get(name));
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const post = (body) => fetch("/result", { method: "POST", body: JSON.stringify(body) });

try {
  const threads = parameter("threads");
  const wasm = "/node_modules/@wllama/wllama/esm/wasm/wllama.wasm";
  const wllama = new Wllama({ default: wasm }, { logger: LoggerWithoutDebug, suppressNativeLog: true });
  const start = performance.now();
  const model = await (await fetch("/model.gguf")).blob();
  const sizes = { n_ctx: 1024, n_batch: 512, n_threads: threads, n_gpu_layers: 0 };
  await wllama.loadModel([model], { ...sizes, warmup: true });
  const loadMs = performance.now() - start;
  if (wllama.getNumThreads() !== threads) throw new Error(`${threads} threads asked, ${wllama.getNumThreads()} given`);
  // One token a letter, after the one that begins a text.
  const letters = [..."abcdefghijklmnopqrstuvwxyz"];
  const text = (round, count) => Array.from({ length: count - 1 }, (_, i) => letters[(i * 7 + round) % 26]).join(" ");
  const complete = (round, count, max_tokens) =>
    wllama.createCompletion({
      ...{ prompt: text(round, count), max_tokens, temperature: 0 },
      ...{ ignore_eos: true, cache_prompt: false },
    });
  await complete(25, 8, 4);
  const timings = [];
  for (let round = 0; round < parameter("rounds"); round++)
    timings.push((await complete(round, parameter("prompt"), parameter("new"))).timings);
  const [{ prompt_n, predicted_n }] = timings;
  if (prompt_n !== parameter("prompt"))
    throw new Error(`${prompt_n} tokens of prompt, ${parameter("prompt")} expected`);
  if (predicted_n !== parameter("new")) throw new Error(`${predicted_n} new tokens, ${parameter("new")} expected`);
  const prefill = median(timings.map((timing) => timing.prompt_per_second));
  const decode = median(timings.map((timing) => timing.predicted_per_second));
  await post({ result: { prefill, decode, loadMs, note: navigator.userAgent.match(/Chrome\/\d+/)?.[0] } });
} catch (error) {
  await post({ error: `${error}` });
}
