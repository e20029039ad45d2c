import type { EmbeddingModelV4, EmbeddingModelV4CallOptions, EmbeddingModelV4Result } from "@ai-sdk/provider";
import type { EmbedOptions } from "../service/types.ts";
import type { Model } from "../session/model.ts";
import { optionsOf } from "./options.ts";

/** Options of `model.embed` that the AI SDK has no name for: `providerOptions.lambent`. */
const OWN = ["pooling", "normalize"] as const satisfies readonly (keyof EmbedOptions)[];

/** A model that embeds, by specification v4. */
export class LambentEmbeddingModel implements EmbeddingModelV4 {
  readonly specificationVersion = "v4";
  readonly provider = "lambent";
  readonly modelId: string;
  readonly maxEmbeddingsPerCall: number = Infinity;
  readonly supportsParallelCalls = true;
  readonly #model: Model;

  constructor(modelId: string, model: Model) {
    this.modelId = modelId;
    this.#model = model;
  }

  /** Vectors [dimensions, by default hiddenSize] of texts. Throws what `embed` throws. */
  async doEmbed(options: EmbeddingModelV4CallOptions): Promise<EmbeddingModelV4Result> {
    const { values, dimensions, abortSignal: signal } = options;
    signal?.throwIfAborted();
    const { own, warnings } = optionsOf(options.providerOptions, OWN);
    const ids = values.map((text) => this.#model.tokenizer.encode(text));
    const vectors = await this.#model.embed(ids, { ...own, dimensions, wait: true, signal });
    const tokens = ids.reduce((sum, { length }) => sum + length, 0);
    return { embeddings: vectors.map((vector) => [...vector]), usage: { tokens }, warnings };
  }
}
