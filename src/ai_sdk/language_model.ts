import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamPart,
  LanguageModelV4StreamResult,
} from "@ai-sdk/provider";
import type { ReplyResult } from "../session/chat.ts";
import type { Model } from "../session/model.ts";
import { Blocks, contentOf } from "./blocks.ts";
import { type Call, callOf } from "./call.ts";

type Part = LanguageModelV4StreamPart;
type Finish = Extract<Part, { readonly type: "finish" }>;

/** A model that answers, by specification v4. It waits for a session where all are in use. */
export class LambentLanguageModel implements LanguageModelV4 {
  readonly specificationVersion = "v4";
  readonly provider = "lambent";
  readonly modelId: string;
  /** Files at addresses are fetched by the AI SDK. */
  readonly supportedUrls: Record<string, RegExp[]> = {};
  readonly #model: Model;

  constructor(modelId: string, model: Model) {
    this.modelId = modelId;
    this.#model = model;
  }

  /** The whole answer. Rejects with the signal's reason if it is aborted, and with what `callOf` and `respond` throw. */
  async doGenerate(options: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const call = callOf(this.#model.tokenizer, options);
    const parts: Part[] = [];
    for await (const part of this.#parts(call, options)) parts.push(part);
    const { type: _, ...finish } = parts.at(-1) as Finish;
    return { content: contentOf(parts), ...finish, warnings: [...call.warnings] };
  }

  /**
   * The answer while it is written, at the reader's pace. What is wrong with the call rejects; an error later on is a part
   * of the stream, and an abort is the stream's error. A reader who cancels gives the session back.
   */
  async doStream(options: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const call = callOf(this.#model.tokenizer, options);
    const parts = this.#parts(call, options);
    let first: IteratorResult<Part, void> | undefined = await parts.next();
    const stream = new ReadableStream(
      {
        start(controller: ReadableStreamDefaultController<Part>) {
          controller.enqueue({ type: "stream-start", warnings: [...call.warnings] });
        },
        async pull(controller) {
          try {
            const { done, value } = first ?? (await parts.next());
            first = undefined;
            if (done) controller.close();
            else controller.enqueue(value);
          } catch (error) {
            if (options.abortSignal?.aborted) throw error;
            controller.enqueue({ type: "error", error });
            controller.enqueue(FAILED);
            controller.close();
          }
        },
        async cancel() {
          await parts.return();
        },
      },
      { highWaterMark: 0 },
    );
    return { stream };
  }

  /** The parts of an answer, `finish` last. An abort gives the session back at once, also where it is not read on. */
  async *#parts(
    { messages, options, answer }: Call,
    { abortSignal: signal, includeRawChunks }: LanguageModelV4CallOptions,
  ): AsyncGenerator<Part, void, undefined> {
    const reply = this.#model.respond(messages, { ...options, signal, wait: true });
    const tokens = reply.tokens();
    const release = () => void tokens.return?.();
    signal?.addEventListener("abort", release, { once: true });
    const blocks = new Blocks();
    try {
      for await (const token of tokens) {
        if (includeRawChunks) yield { type: "raw", rawValue: token };
        const pieces = answer ? answer.push(token) : [{ type: "text", text: token.text } as const];
        for (const piece of pieces) yield* blocks.take(piece);
      }
      signal?.throwIfAborted();
      for (const piece of answer?.end() ?? []) yield* blocks.take(piece);
      yield* blocks.end();
      yield finishOf(await reply.result, (answer?.calls ?? 0) > 0);
    } finally {
      signal?.removeEventListener("abort", release);
      release();
    }
  }
}

function finishOf(result: ReplyResult, called: boolean): Finish {
  const { finishReason: raw, usage, seed, logitsHash, window: use } = result;
  const { promptTokens, cachedTokens, completionTokens } = usage;
  const stopped = called ? "tool-calls" : "stop";
  return {
    type: "finish",
    finishReason: { unified: raw === "stop" ? stopped : "length", raw },
    usage: {
      inputTokens: {
        ...{ total: promptTokens, noCache: promptTokens - cachedTokens },
        ...{ cacheRead: cachedTokens, cacheWrite: undefined },
      },
      outputTokens: { total: completionTokens, text: completionTokens, reasoning: undefined },
    },
    // A window without end has no number in JSON.
    providerMetadata: {
      lambent: { seed, logitsHash, window: { ...use, window: Number.isFinite(use.window) ? use.window : null } },
    },
  };
}

/** The end of a stream that failed: what it took is not known. */
const FAILED: Finish = {
  type: "finish",
  finishReason: { unified: "error", raw: undefined },
  usage: {
    inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: undefined, text: undefined, reasoning: undefined },
  },
};
