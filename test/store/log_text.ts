/** What log_kills.test.ts and the process that it kills share: a text in pieces, and how a session reads it. */

/** Tokens that are read between two snapshots, and of the whole text. */
export const PIECE = 300;
export const TOKENS = 40 * PIECE;

/** The name of the last snapshot. */
export const SNAPSHOT = "last.snapshot";

/** Little of the log is in memory, and not all of it within reach. */
export const LOGGED = {
  ...{ nLocal: 64, nGlobal: 2, recall: 2, recallLayers: [0, 1], recallTokens: 6000 },
  ...{ recallMemory: 200_000, chunkSize: 48, threads: 1 },
} as const;

/** The piece at a position. */
export function pieceOf(position: number): number[] {
  return Array.from({ length: PIECE }, (_, i) => ((position + i) * (position + i) * 7 + 3 * i + 11) % 61);
}
