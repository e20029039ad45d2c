/**
 * Lambent: language models with Λ-attention in portable WebAssembly.
 *
 * @example
 * const model = await load("models/lambent-llama-5m");
 * for await (const piece of model.generate("It was late in the evening")) process.stdout.write(piece);
 */
export { LambentError, ModelError, OptionError } from "./errors.ts";
export type { GeneratedToken, GenerateOptions, Generation, GenerationResult } from "./generate.ts";
export { load, Model, type ModelInfo } from "./language_model.ts";
export { inspect, type LoadOptions, type LoadProgress } from "./load.ts";
export { POLICIES, type PolicyName } from "./model/cache.ts";
export { type Prompt, Session } from "./session.ts";
export type { Message } from "./tokenizer/chat.ts";
export { Tokenizer } from "./tokenizer/tokenizer.ts";
