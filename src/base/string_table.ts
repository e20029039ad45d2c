/** Many strings as UTF-8 in one piece: string i is bytes offsets[i] to offsets[i + 1]. */
export interface StringTable {
  readonly count: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** count + 1 of them, ascending. */
  readonly offsets: Uint32Array<ArrayBuffer>;
}
