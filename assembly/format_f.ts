import { blockBytes, blockColumns, Format, panelRows } from "./layout";

/** Where a row of a float matrix starts: it has a 16-byte piece of each block. */
export function rowAt(matrix: usize, row: u32, k: i32, format: Format): usize {
  const columns = <i32>blockColumns(format);
  const rows = <u32>panelRows(format);
  const panelBytes = <usize>((k + columns - 1) / columns) * <usize>blockBytes(format);
  return matrix + <usize>(row / rows) * panelBytes + ((<usize>(row % rows)) << 4);
}
