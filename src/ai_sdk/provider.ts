import { type EmbeddingModelV4, type LanguageModelV4, NoSuchModelError, type ProviderV4 } from "@ai-sdk/provider";
import { mismatch } from "../base/errors.ts";
import type { Model } from "../session/model.ts";
import { LambentEmbeddingModel } from "./embedding_model.ts";
import { LambentLanguageModel } from "./language_model.ts";

/** Loaded models as a provider of the AI SDK, specification v4. Unknown names are a NoSuchModelError. */
export interface LambentProvider extends ProviderV4 {
  /** The same as `languageModel`. */
  (modelId: string): LanguageModelV4;
  languageModel(modelId: string): LanguageModelV4;
  embeddingModel(modelId: string): EmbeddingModelV4;
  /** There are none: throws NoSuchModelError. */
  imageModel(modelId: string): never;
}

/**
 * Loaded models for the AI SDK, by the names that they are asked for with: in this process, without HTTP (docs/AI_SDK.md).
 *
 * @example
 * const lambent = createLambent({ story: await load("models/lambent-llama-5m") });
 * const { text } = await generateText({ model: lambent("story"), prompt: "Who is there?" });
 */
export function createLambent(models: Readonly<Record<string, Model>>): LambentProvider {
  type Kind = NoSuchModelError["modelType"];
  const unknown = (modelId: string, modelType: Kind, names: readonly string[]) => {
    const message = mismatch(modelType, names.join(", ") || "none", modelId);
    return new NoSuchModelError({ modelId, modelType, message });
  };
  const find = (modelId: string, modelType: Kind): Model => {
    const model = Object.hasOwn(models, modelId) ? models[modelId] : undefined;
    if (model) return model;
    throw unknown(modelId, modelType, Object.keys(models));
  };
  const languageModel = (modelId: string) => new LambentLanguageModel(modelId, find(modelId, "languageModel"));
  return Object.assign((modelId: string) => languageModel(modelId), {
    specificationVersion: "v4" as const,
    languageModel,
    embeddingModel: (modelId: string) => new LambentEmbeddingModel(modelId, find(modelId, "embeddingModel")),
    imageModel(modelId: string): never {
      throw unknown(modelId, "imageModel", []);
    },
  });
}
