/** Cleans up after objects that were garbage-collected, where the host supports it (workerd only in newer versions). */
export class Forgotten<T> {
  readonly #registry: FinalizationRegistry<T> | undefined;

  /** @param clean must not hold the object itself, nor may what is held */
  constructor(clean: (held: T) => void) {
    this.#registry = typeof FinalizationRegistry === "undefined" ? undefined : new FinalizationRegistry(clean);
  }

  watch(object: object, held: T): void {
    this.#registry?.register(object, held, object);
  }

  /** The object was cleaned up explicitly. */
  ignore(object: object): void {
    this.#registry?.unregister(object);
  }
}
