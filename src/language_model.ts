import type { Engine } from "./engine.ts";
import type { GenerateOptions, Generation } from "./generate.ts";
import { type LoadOptions, loadEngine, requireTokenizer, withCheckpoint } from "./load.ts";
import type { Policy } from "./model/cache.ts";
import { type Prompt, Session, type SessionModel } from "./session.ts";
import { dtypesOf } from "./snapshot.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

/** What a model is and takes, as `--stats json` prints it. Bytes; Infinity where there is no bound. */
export interface ModelInfo extends Policy {
  readonly model: string;
  readonly modelType: string;
  readonly runtime: string;
  /** Build of the kernels. */
  readonly kernels: string;
  /** That compute a step; 1 where threads cannot be had. */
  readonly threads: number;
  readonly dtype: string;
  readonly cacheDtype: string;
  readonly weightBytes: number;
  /** Keys and values of one session. */
  readonly cacheBytes: number;
  /** Everything, with one session. */
  readonly memoryBytes: number;
}

/** A language model, ready to read and write. */
export class Model {
  readonly tokenizer: Tokenizer;
  readonly info: ModelInfo;
  readonly #parts: SessionModel;

  constructor(name: string, runtime: string, parts: SessionModel) {
    this.tokenizer = parts.tokenizer;
    this.info = modelInfo(name, runtime, parts.engine);
    this.#parts = parts;
  }

  /**
   * Continues a text or a chat.
   *
   * @example
   * const generation = model.generate("Once", { maxNewTokens: 100, temperature: 0.8 });
   * for await (const piece of generation) process.stdout.write(piece);
   * console.log((await generation.result).finishReason);
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    return Session.generate(this.#parts, prompt, options);
  }

  /**
   * Begins a text. `startPosition`: position of its first token; the logits depend on distances alone.
   * Throws OptionError if maxSessions are open.
   */
  session(options: { readonly startPosition?: number; readonly seed?: number } = {}): Session {
    return new Session(this.#parts, this.#parts.engine.open(options.startPosition, options.seed));
  }

  /** Goes on from a snapshot, with the same bits. Throws ModelError if it is damaged or not of this model. */
  restore(snapshot: Uint8Array): Session {
    return Session.restore(this.#parts, snapshot);
  }
}

/**
 * Loads a model from a directory, a URL of one, or a Hugging Face id. While one is in use, another one of the same local
 * files and options shares its memory: weights are there once, nothing is read again, and maxSessions counts for both.
 */
export function load(where: string, options: LoadOptions = {}): Promise<Model> {
  return withCheckpoint(where, options, async (checkpoint, runtime) => {
    const tokenizer = await requireTokenizer(checkpoint);
    const engine = await loadEngine(checkpoint, runtime, options);
    const { config, generationConfig } = checkpoint;
    return new Model(where, runtime.name, { engine, tokenizer, config, generationConfig });
  });
}

export function modelInfo(model: string, runtime: string, engine: Engine): ModelInfo {
  const { policy, weightBytes, cacheBytes, memoryBytes } = engine.plan;
  return {
    model,
    modelType: engine.program.modelType,
    runtime,
    kernels: engine.kernels.build,
    get threads() {
      return engine.threads;
    },
    dtype: dtypesOf(engine),
    cacheDtype: engine.plan.cache.dtype,
    ...policy,
    weightBytes,
    cacheBytes,
    memoryBytes,
  };
}
