import { ModelError, mismatch, show } from "../base/errors.ts";
import type { GgufValue } from "./gguf.ts";

/** Keys of an architecture that change nothing here: those of images, and those that are said twice. */
const HARMLESS =
  /^(vision\..*|mm\..*|vocab_size|tensor_data_layout|attention\.layer_norm(_rms)?_epsilon|rope\.scaling\.(finetuned|original_context_length)|expert_used_count|pooling_type)$/;

/** The metadata of a GGUF file, by key; it remembers which were asked for. Errors name file and key. */
export class Metadata {
  readonly architecture: string;
  readonly #asked = new Set<string>();

  /** `file`: its name in errors. */
  constructor(
    readonly values: ReadonlyMap<string, GgufValue>,
    readonly file: string,
  ) {
    this.architecture = this.string("general.architecture") ?? "";
  }

  /** The value of a key; one that starts with a dot is the architecture's own. */
  get(key: string): GgufValue | undefined {
    const full = this.#full(key);
    this.#asked.add(full);
    return this.values.get(full);
  }

  string(key: string): string | undefined {
    return this.#read(key, "a string", (value) => typeof value === "string");
  }

  number(key: string): number | undefined {
    return this.#read(key, "a number", (value) => typeof value === "number");
  }

  /** A number, or a list of equal ones: a number for each layer. */
  each(key: string): number | undefined {
    const value = this.get(key);
    const list = ArrayBuffer.isView(value) ? Array.from(value as ArrayLike<number | bigint>, Number) : undefined;
    if (!list) return this.number(key);
    if (new Set(list).size === 1) return list[0];
    throw new ModelError(mismatch(`${this.file}: ${this.#full(key)}`, "the same number for every layer", list));
  }

  boolean(key: string): boolean | undefined {
    return this.#read(key, "true or false", (value) => typeof value === "boolean");
  }

  /** The value of a key that must be there. */
  require<T>(key: string, value: T | undefined): T {
    if (value !== undefined) return value;
    throw new ModelError(mismatch(`${this.file}: ${this.#full(key)}`, "a value", "nothing"));
  }

  /** Throws ModelError for a key of the architecture that was not read, except where it changes nothing. */
  expectAllRead(): void {
    const prefix = `${this.architecture}.`;
    for (const [key, value] of this.values) {
      const own = key.startsWith(prefix) && !this.#asked.has(key);
      if (!own || HARMLESS.test(key.slice(prefix.length)) || value === 0 || value === false) continue;
      throw new ModelError(mismatch(`${this.file}: ${show(key)}`, "a key that this kind of model has", value));
    }
  }

  #full(key: string): string {
    return key.startsWith(".") ? this.architecture + key : key;
  }

  #read<T>(key: string, expected: string, good: (value: GgufValue) => boolean): T | undefined {
    const value = this.get(key);
    if (value === undefined || good(value)) return value as T | undefined;
    const found = typeof value === "object" ? "an array" : value;
    throw new ModelError(mismatch(`${this.file}: ${this.#full(key)}`, expected, found));
  }
}
