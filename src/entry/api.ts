/** What every entry of the package exports. */

export { LambentError, ModelError, OptionError } from "../base/errors.ts";
export type { ByteSource, Files } from "../base/source.ts";
export type { LikelyToken } from "../engine/likely.ts";
export type { RecalledToken } from "../engine/recalled.ts";
export type { ResponseFormat } from "../grammar/index.ts";
export type { LayerHead } from "../plan/middle.ts";
export { POLICIES, type PolicyName } from "../plan/policy.ts";
export type { EmbedOptions, OpenOptions, StartOptions } from "../service/types.ts";
export type { AppendOptions } from "../session/append_options.ts";
export {
  type Chat,
  type ChatSettings,
  type ChatStore,
  ContextLengthError,
  type Reply,
  type ReplyOptions,
  type ReplyResult,
  type Source,
  type Usage,
  type WindowUse,
} from "../session/chat.ts";
export type { Prompt } from "../session/encode_prompt.ts";
export { type EngineInfo, type EngineOptions, engineInfo } from "../session/engine_info.ts";
export type { GenerateOptions } from "../session/generate_options.ts";
export type { GeneratedToken, Generation, GenerationResult } from "../session/generation.ts";
export { inspect, type LoadOptions, type LoadProgress, type LoraOptions, type Where } from "../session/load.ts";
export { load, Model, type ModelInfo } from "../session/model.ts";
export type { Resume } from "../session/resume.ts";
export { Session } from "../session/session.ts";
export { filesFromBlobs } from "../sources/blobs.ts";
export { type Bucket, filesFromBucket } from "../sources/bucket.ts";
export { filesFromStreams, type StreamedFile } from "../sources/streams.ts";
export { filesFromUrl, type UrlOptions } from "../sources/url.ts";
export type { LogStore } from "../store/log_store.ts";
export type { ChatOptions, ContentPart, Message } from "../tokenizer/chat.ts";
export { Tokenizer } from "../tokenizer/tokenizer.ts";
