/** A call or a counted repetition that is under way, above those that it is inside of. */
export interface Frame {
  /** Where a call comes back to; the `repeat` of a repetition. */
  readonly place: number;
  /** How many items have to follow the one under way, and how many may; Infinity: no bound. 0 for calls. */
  readonly least: number;
  readonly most: number;
  /** The stack below. */
  readonly below: number;
}

/** Stacks by number, each there once; 0 is the empty one. */
export class Stacks {
  readonly #frames: Frame[] = [{ place: -1, least: 0, most: 0, below: 0 }];
  readonly #depths: number[] = [0];
  readonly #numbers = new Map<string, number>();
  /** By how many bytes are looked ahead, and by stack. */
  readonly #blurred = new Map<number, number[]>();

  depth(stack: number): number {
    return this.#depths[stack]!;
  }

  /** The frame on top of a stack that is not empty. */
  top(stack: number): Frame {
    return this.#frames[stack]!;
  }

  push(place: number, least: number, most: number, below: number): number {
    const key = `${place},${least},${most},${below}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#frames.push({ place, least, most, below }) - 1;
    this.#depths.push(this.#depths[below]! + 1);
    this.#numbers.set(key, number);
    return number;
  }

  /** The stack that is as this one for a token of at most `bytes` bytes: counts that it cannot use up have no end. */
  blur(stack: number, bytes: number): number {
    let all = this.#blurred.get(bytes);
    if (!all) this.#blurred.set(bytes, (all = [0]));
    const known = all[stack];
    if (known !== undefined) return known;
    const { place, least, most, below } = this.#frames[stack]!;
    const far = (count: number) => (count > bytes ? Infinity : count);
    const blurred = this.push(place, far(least), far(most), this.blur(below, bytes));
    all[stack] = blurred;
    return blurred;
  }
}
