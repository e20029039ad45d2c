import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runPage } from "./browser.ts";
import { install, temporaryFolder } from "./child.ts";
import { writeOnnxLlama } from "./onnx_llama.ts";
import { onnxWeights } from "./onnxruntime.ts";
import { attempt, type Measured, type PeerOptions, type PeerResult, PROMPT } from "./result.ts";
import { configOf } from "./shapes.ts";

const VERSION = "4.3.1";
/** Its number formats: 8 bits, which it takes by itself on this device, and 4 bits in blocks. */
const FORMATS = [
  { dtype: "q8", file: "model_quantized.onnx", linear: "int8" },
  { dtype: "q4", file: "model_q4.onnx", linear: "q4" },
] as const;
/** Fewer than of the others: a token takes seconds. */
const NEW = 8;
const ROUNDS = 1;
const TIMEOUT_MS = 300_000;

/** transformers.js on its WebAssembly device in a browser, with an ONNX model of the shape that is made here. */
export async function* transformers({ shape, layers, threads }: PeerOptions): AsyncGenerator<PeerResult> {
  const peer = { peer: "transformers.js (wasm)", version: VERSION };
  if (!shape) {
    yield { ...peer, format: "gguf", threads: threads[0] ?? 1, busyCores: 0, error: "reads ONNX models only" };
    return;
  }
  for (const { dtype, file, linear } of FORMATS) {
    using model = temporaryFolder();
    const path = { config: join(model.path, "config.json"), weights: join(model.path, file) };
    for (const n of threads) {
      const measure = async () => {
        const folder = await install("transformers", { "@huggingface/transformers": VERSION });
        const config = configOf(shape, layers);
        if (config.model_type !== "llama") throw new Error(`no ONNX model of ${config.model_type} can be made here`);
        writeFileSync(path.config, JSON.stringify(config));
        if (!existsSync(path.weights)) writeOnnxLlama(path.weights, config, onnxWeights(linear));
        const files = { "model/config.json": path.config, [`model/onnx/${file}`]: path.weights };
        const numbers = { threads: n, prompt: PROMPT, new: NEW, rounds: ROUNDS, vocab: config.vocab_size };
        return runPage<Measured>(folder, "transformers.mjs", files, { dtype, ...numbers }, TIMEOUT_MS);
      };
      yield await attempt({ ...peer, format: dtype, threads: n }, measure);
    }
  }
}
