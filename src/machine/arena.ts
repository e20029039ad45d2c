/** Hands out addresses in a memory that does not exist yet: 64-byte aligned, one after the other. */
export class Arena {
  #end: number;

  constructor(start = 0) {
    this.#end = align(start);
  }

  /** The address of `bytes` bytes. */
  take(bytes: number): number {
    const address = this.#end;
    this.#end = align(address + bytes);
    return address;
  }

  /** Bytes up to here. */
  get end(): number {
    return this.#end;
  }
}

/** The next multiple of 64. */
export function align(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}
