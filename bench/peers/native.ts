import { install, runNode } from "./child.ts";
import { type Format, ggufs } from "./gguf.ts";
import { attempt, type Measured, NEW, type PeerOptions, type PeerResult, PROMPT } from "./result.ts";

export const VERSION = "3.22.1";
const SYSTEMS: Readonly<Record<string, string>> = { darwin: "mac", win32: "win" };
const BINARY = `@node-llama-cpp/${SYSTEMS[process.platform] ?? process.platform}-${process.arch}${
  process.platform === "darwin" && process.arch === "arm64" ? "-metal" : ""
}`;
const FORMATS: readonly Format[] = ["q4_0", "q8_0", "f16"];
const ROUNDS = 5;
const TIMEOUT_MS = 240_000;

/** node-llama-cpp at that version; returns its folder. */
export function installNative(): Promise<string> {
  return install("native", { "node-llama-cpp": VERSION, [BINARY]: VERSION });
}

/** llama.cpp compiled for the machine, by way of node-llama-cpp. */
export async function* native(options: PeerOptions): AsyncGenerator<PeerResult> {
  const { threads, prompt = PROMPT } = options;
  for (using model of ggufs(options, FORMATS)) {
    const { format } = model;
    for (const n of threads) {
      const measure = async () => {
        const folder = await installNative();
        const args = [model.path(), ...[n, prompt, NEW, ROUNDS].map(String)];
        return runNode<Measured>(folder, "native.mjs", args, TIMEOUT_MS);
      };
      yield await attempt({ peer: "node-llama-cpp (native)", version: VERSION, format, threads: n }, measure);
    }
  }
}
