/** Values that come by themselves, read one at a time, in order; then their end. */
export class Inbox<T> {
  readonly #values: T[] = [];
  #end: { readonly error?: unknown } | undefined;
  #wake: (() => void) | undefined;

  add(value: T): void {
    this.#values.push(value);
    this.#wake?.();
  }

  end(): void {
    this.#end ??= {};
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  /** The next value. Throws what `fail` was given behind the last one. */
  async next(): Promise<IteratorResult<T, void>> {
    while (this.#values.length === 0 && !this.#end) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#values.length > 0) return { done: false, value: this.#values.shift() as T };
    if (this.#end && "error" in this.#end) throw this.#end.error;
    return { done: true, value: undefined };
  }
}
