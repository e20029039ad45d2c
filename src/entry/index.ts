/**
 * Lambent: language models with Λ-attention in portable WebAssembly. This entry is for Bun, Deno and Node.
 *
 * @example
 * const model = await load("models/lambent-llama-5m");
 * for await (const piece of model.generate("It was late in the evening")) process.stdout.write(piece);
 */
import { detectHost } from "../runtime/detect.ts";
import { provideRuntime } from "../runtime/index.ts";

provideRuntime(detectHost);

export * from "./api.ts";
