import type { Port, Runtime } from "../runtime/types.ts";
import { serveEngine } from "../service/serve.ts";
import { loadAsTold, type RemoteOptions } from "../session/load.ts";

/** The code of a worker with an engine: it loads the model that it is told to, and serves it. */
export function runEngineWorker(runtime: Promise<Runtime>, port: Port): void {
  serveEngine(port, async (places, options: RemoteOptions, { signal, tell: onProgress }) => {
    const { loaded, files } = await loadAsTold(places, { ...options, onProgress, signal }, await runtime);
    const { service, tokenizer: _, ...rest } = loaded;
    return { service, rest: { ...rest, files } };
  });
}
