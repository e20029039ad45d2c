import type { Model } from "../session/model.ts";
import { ApiError, hasEnded } from "./errors.ts";

/** Loads a model again whose engine has ended by an error. */
export type Reload = (name: string, error: Error) => Promise<Model>;

/** An engine that has lasted so long, in ms, is loaded again at once. */
const LASTING_MS = 60_000;
/** Seconds before another one is, at first and at most. */
const PAUSE = { least: 1, most: 60 };

/**
 * A model whose engine may end, and is then loaded again: once for each end, and later each time if that fails or does not
 * last.
 */
export class Renewal {
  readonly #name: string;
  readonly #reload: Reload | undefined;
  /** Called when it is loaded again. */
  readonly #onRenewed: () => void;
  readonly #stopping = new AbortController();
  #model: Model;
  #loadedAt = performance.now();
  #loading = false;
  /** Seconds before the next try. */
  #pause = 0;

  constructor(name: string, model: Model, reload: Reload | undefined, onRenewed: () => void) {
    this.#name = name;
    this.#model = model;
    this.#reload = reload;
    this.#onRenewed = onRenewed;
  }

  /** The latest one; while another is being loaded, its tokenizer is still of use. */
  get model(): Model {
    return this.#model;
  }

  get loading(): boolean {
    return this.#loading;
  }

  /** Takes an error of a model. Throws ApiError 503 if its engine has ended and there is or will be another one. */
  hear(error: unknown, model: Model): void {
    if (!this.#reload || !hasEnded(error) || this.#stopping.signal.aborted) return;
    if (model === this.#model && !this.#loading) void this.#renew(this.#reload, error);
    throw this.#unavailable();
  }

  /** Loads no more. */
  stop(): void {
    this.#stopping.abort();
  }

  #unavailable(): ApiError {
    const retryAfter = Math.max(PAUSE.least, this.#pause);
    return new ApiError(503, "the engine has ended, the model is loaded again", { code: "loading", retryAfter });
  }

  async #renew(reload: Reload, error: Error): Promise<void> {
    this.#loading = true;
    this.#model.dispose();
    if (performance.now() - this.#loadedAt > LASTING_MS) this.#pause = 0;
    let reason = error;
    while (this.#loading) {
      await pause(this.#pause, this.#stopping.signal);
      if (this.#stopping.signal.aborted) return;
      this.#pause = Math.min(PAUSE.most, Math.max(PAUSE.least, 2 * this.#pause));
      try {
        this.#model = await reload(this.#name, reason);
        this.#loadedAt = performance.now();
        this.#loading = false;
        this.#onRenewed();
      } catch (failure) {
        reason = failure as Error;
      }
    }
  }
}

/** Waits so long, or until the signal. */
function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", end, { once: true });
  });
}
