/** Work under way, which may be bounded and waited for. */
export class Pending {
  #count = 0;
  #waiting: (() => void)[] = [];

  /** Something begins; the function that is returned ends it. */
  begin(): () => void {
    this.#count++;
    return () => {
      this.#count--;
      for (const resolve of this.#waiting.splice(0)) resolve();
    };
  }

  /** The same, as soon as it is one of at most so many. */
  async beginAmong(most: number): Promise<() => void> {
    while (this.#count >= most) await this.#change();
    return this.begin();
  }

  /** Done when nothing is under way. */
  async ended(): Promise<void> {
    while (this.#count > 0) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
