/** Rows first, first + step, … of a stored tensor. */
export interface RowRange {
  readonly first: number;
  readonly count: number;
  readonly step: number;
}

/** `count` rows from `first` on. */
export function contiguous(first: number, count: number): RowRange[] {
  return [{ first, count, step: 1 }];
}
