/** Sizes of the 8-bit codes of keys (codes.ts), and of what they are chosen with (recall.ts). */
export enum Code {
  /** keys of a block, which share a power of two; in heads of more than NarrowHead numbers: WideBlock */
  Block = 16,
  NarrowHead = 128,
  WideBlock = 32,
  /** the codes of a key, and the mean of a block, are padded to a multiple of this many bytes */
  Align = 16,
  /** of the numbers of a key, −127 to 127, and of a query, −63 to 63, beside the sign */
  KeyBits = 7,
  QueryBits = 6,
  /** with this added, those of a query are positive */
  Shift = 64,
  /** bytes behind a block's mean: its power of two as f32, the sum of the mean's codes as i32, padding */
  PowerBytes = 16,
  /** the largest head, whose products of codes f32 holds: 63 · 127 · 1024 < 2^24 */
  MostNumbers = 1024,
  /** the most blocks that a sieve keeps */
  MostBlocks = 8192,
  /**
   * where in what a query needs to be chosen for (recall.ts, queryBytes) is what, behind its codes as i16: as u8 with Shift
   * added; four products; the size of a heap, and its entries of 8 bytes
   */
  Bytes = 2048,
  Products = 3072,
  Count = 3088,
  Heap = 3104,
  /** a chosen key runs on if RunTimes of the RunTokens tokens before chose a key at the same distance */
  RunTokens = 8,
  RunTimes = 3,
  /** best keys of a list that are kept for that, and tokens whose lists are kept; a step reads fewer ahead */
  RunKeys = 8,
  RunPlaces = 32,
  /** number of middle tokens at which a gate lowers by what its head's says; with four times as many, by twice that */
  GateTokens = 65536,
  /** queries that go through the means together */
  Queries = 4,
  /** means that all of them meet before the next ones: few enough to stay in the first cache */
  Stretch = 64,
}
