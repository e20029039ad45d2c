/** Sizes of the 8-bit codes of keys (codes.ts), and of what they are chosen with (recall.ts). */
export enum Code {
  /** keys that share a power of two */
  Block = 16,
  /** the codes of a key, and the mean of a block, are padded to a multiple of this many bytes */
  Align = 16,
  /** bytes of a block's power of two, which is behind its mean: f32 and padding */
  PowerBytes = 16,
  /** the largest head, whose products of codes f32 holds: 127² · 1024 < 2^24 */
  MostNumbers = 1024,
  /** the most blocks that a sieve keeps */
  MostBlocks = 512,
  /** what a query needs to be chosen for: its codes as i16, four products, the size of a heap, and a heap of MostBlocks entries */
  QueryBytes = 6176,
  /** where these are in it */
  Products = 2048,
  Count = 2064,
  Heap = 2080,
  /** queries that go through the means together, and what a slice of an attention needs for them */
  Queries = 4,
  WorkBytes = 24704,
  /** means that all of them meet before the next ones: few enough to stay in the first cache */
  Stretch = 64,
}
