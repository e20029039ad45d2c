/**
 * Where the turns of a session's chat start, those that the window still has, ascending; undefined: it is no chat. Whole
 * turns leave the window: what is before the first one that it has is not attended, but for pinned tokens.
 */
export type TurnStarts = readonly number[] | undefined;

/** Where a session's window is. */
export interface Window {
  /** Position of the session's first token. */
  readonly origin: number;
  /** Position of the row that attends. */
  readonly position: number;
  readonly nLocal: number;
}

/**
 * The position before which a row attends no local keys: where the first turn starts that its window has as a whole; 0 as
 * long as the window has everything, and where a single turn is longer than it.
 */
export function beginOf(starts: TurnStarts, { origin, position, nLocal }: Window): number {
  const first = position - nLocal + 1;
  if (!starts || first <= origin) return 0;
  return starts.find((start) => start >= first && start <= position) ?? 0;
}

/** Those that the window of the token at `position`, which is read next, still has. */
export function kept(starts: readonly number[], position: number, nLocal: number): readonly number[] {
  return starts.filter((start) => start > position - nLocal);
}
