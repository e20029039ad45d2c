/** What every entry of the package has. */
export { type EngineInfo, type EngineOptions, engineInfo } from "./engine_info.ts";
export { LambentError, ModelError, OptionError } from "./errors.ts";
export type { GenerateOptions } from "./generate.ts";
export type { GeneratedToken, Generation, GenerationResult } from "./generation.ts";
export { load, Model, type ModelInfo } from "./language_model.ts";
export { inspect, type LoadOptions, type LoadProgress, type Where } from "./load.ts";
export { POLICIES, type PolicyName } from "./model/cache.ts";
export { filesFromBlobs } from "./runtime/blobs.ts";
export { type Bucket, filesFromBucket } from "./runtime/bucket.ts";
export { filesFromStreams, type StreamedFile } from "./runtime/streams.ts";
export { filesFromUrl, type UrlOptions } from "./runtime/url.ts";
export type { OpenOptions, StartOptions } from "./service/types.ts";
export { type AppendOptions, type Prompt, Session } from "./session.ts";
export type { ByteSource, Files } from "./source.ts";
export type { ChatOptions, ContentPart, Message } from "./tokenizer/chat.ts";
export { Tokenizer } from "./tokenizer/tokenizer.ts";
