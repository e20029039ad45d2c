import type { Row } from "./report.ts";

/** The results of one suite: what Report writes. */
export interface Found {
  readonly command: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly notes: readonly string[];
  readonly tables: Readonly<Record<string, readonly Row[]>>;
}

/** What suites found, by the key of their run. */
export type All = Readonly<Record<string, Found>>;

/** A row of the page. */
export interface Line {
  readonly what: string;
  /** In the order of the table's columns. */
  readonly found: readonly (number | undefined)[];
  /** The least of each, or the most; undefined: nothing was set. */
  readonly least?: readonly (number | undefined)[] | undefined;
  readonly most?: number | undefined;
  /** What it is bound by, as far as it was measured. */
  readonly limit: string;
}

/** All rows of the only table of a suite. */
export function rowsOf(found: Found | undefined): readonly Row[] {
  return Object.values(found?.tables ?? {})[0] ?? [];
}

/** A number of a row. */
export function number(row: Row | undefined, key: string): number | undefined {
  return row === undefined ? undefined : (row[key] as number | undefined);
}
