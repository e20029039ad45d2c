import { runPage } from "./browser.ts";
import { install } from "./child.ts";
import { type Format, ggufs } from "./gguf.ts";
import { attempt, type Measured, NEW, type PeerOptions, type PeerResult, PROMPT } from "./result.ts";

const VERSION = "3.8.1";
const FORMATS: readonly Format[] = ["q4_0", "q8_0"];
const ROUNDS = 1;
const TIMEOUT_MS = 300_000;

/** llama.cpp compiled to WebAssembly, in a browser. */
export async function* wllama(options: PeerOptions): AsyncGenerator<PeerResult> {
  const { threads, prompt = PROMPT } = options;
  for (using model of ggufs(options, FORMATS)) {
    const { format } = model;
    for (const n of threads) {
      const measure = async () => {
        const folder = await install("wllama", { "@wllama/wllama": VERSION });
        const parameters = { threads: n, prompt, new: NEW, rounds: ROUNDS };
        return runPage<Measured>(folder, "wllama.mjs", { "model.gguf": model.path() }, parameters, TIMEOUT_MS);
      };
      yield await attempt({ peer: "wllama", version: VERSION, format, threads: n }, measure);
    }
  }
}
