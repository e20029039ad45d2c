import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runPage } from "./browser.ts";
import { cacheFolder, install } from "./child.ts";
import { writeOnnxLlama } from "./onnx_llama.ts";
import { onnxWeights } from "./onnxruntime.ts";
import { attempt, type Measured, NEW, type PeerOptions, type PeerResult, PROMPT } from "./result.ts";
import { configOf } from "./shapes.ts";

const VERSION = "4.3.1";
const ROUNDS = 1;
const TIMEOUT_MS = 400_000;

/** transformers.js on its WebAssembly device in a browser, with an ONNX model of the shape that is made here. */
export async function transformers({ shape, layers, threads }: PeerOptions): Promise<PeerResult[]> {
  const results: PeerResult[] = [];
  mkdirSync(cacheFolder(), { recursive: true });
  const model = mkdtempSync(join(cacheFolder(), "onnx-"));
  const files = { "model/config.json": join(model, "config.json"), "model/onnx/model_q4.onnx": join(model, "q4.onnx") };
  const write = () => {
    const config = configOf(shape, layers);
    if (config.model_type !== "llama") throw new Error(`no ONNX model of ${config.model_type} can be made here`);
    writeFileSync(files["model/config.json"], JSON.stringify(config));
    writeOnnxLlama(files["model/onnx/model_q4.onnx"], config, onnxWeights("q4"));
    return config;
  };
  for (const n of threads) {
    const measure = async () => {
      const folder = await install("transformers", { "@huggingface/transformers": VERSION });
      const { vocab_size: vocab } = write();
      const parameters = {
        threads: `${n}`,
        prompt: `${PROMPT}`,
        new: `${NEW}`,
        rounds: `${ROUNDS}`,
        vocab: `${vocab}`,
      };
      return runPage<Measured>(folder, "transformers.mjs", files, parameters, TIMEOUT_MS);
    };
    const about = { peer: "transformers.js (wasm)", version: VERSION, format: "q4", threads: n };
    results.push(await attempt(about, measure));
  }
  rmSync(model, { recursive: true, force: true });
  return results;
}
