/** Choosing a token: choose.ts. */
export enum Survey {
  /** scores that are surveyed together */
  Block = 1024,
  /** bytes that a block's sums take: f64 Σ w, f64 Σ w · log2 w */
  SumBytes = 16,
  /** bytes that ranking counts in: u32 for each value of a key's four digits of 8 bits */
  CountBytes = 4096,
}
