/** A row of a table; undefined values are unknown. */
export type Row = Readonly<Record<string, number | string | undefined>>;

/** A table as text: titles are the keys of the first row; numbers have three decimals unless they are integers. */
export function table(rows: readonly Row[]): string {
  const keys = Object.keys(rows[0] ?? {});
  const lines = [keys, ...rows.map((row) => keys.map((key) => cell(row[key])))];
  const widths = keys.map((_, i) => Math.max(...lines.map((line) => (line[i] as string).length)));
  const left = keys.map((key) => rows.some((row) => typeof row[key] === "string"));
  return `${lines
    .map((line) =>
      line
        .map((text, i) => (left[i] ? text.padEnd(widths[i] as number) : text.padStart(widths[i] as number)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")}\n`;
}

function cell(value: number | string | undefined): string {
  if (value === undefined) return "–";
  if (typeof value === "string" || Number.isInteger(value)) return `${value}`;
  return Math.abs(value) < 1e5 ? value.toFixed(3) : value.toExponential(2);
}
