import { parentPort, workerData } from "node:worker_threads";
import { CALL_WORDS, exportNames, REST, Word } from "./crew_words.ts";

/** A thread of a crew (crew.ts). */
const { shared, thread } = workerData as { shared: SharedArrayBuffer; thread: number };
const words = new Int32Array(shared);
const instances: WebAssembly.Exports[] = [];

type Message = "work" | "forget" | { readonly module: WebAssembly.Module; readonly memory: WebAssembly.Memory };

parentPort?.on("message", (message: Message) => {
  if (message === "work") return work();
  if (message === "forget") instances.length = 0;
  else instances.push(new WebAssembly.Instance(message.module, { env: { memory: message.memory } }).exports);
  parentPort?.postMessage("ready");
});
parentPort?.postMessage("ready");

/** Carries out calls until it may rest. */
function work(): void {
  const at = Word.Calls + thread * CALL_WORDS;
  for (let turn = Atomics.load(words, Word.Turn), instance = 0; instance !== REST; turn++) {
    Atomics.add(words, Word.Done, 1);
    while (Atomics.load(words, Word.Turn) === turn);
    const [first = REST, index = -1, ...args] = words.subarray(at, at + CALL_WORDS);
    instance = first;
    const exports = instances[instance];
    if (exports && index >= 0)
      (exports[exportNames(exports)[index] as string] as (...args: number[]) => unknown)(...args);
  }
  Atomics.add(words, Word.Done, 1);
}
