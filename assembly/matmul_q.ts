import { oneBlock } from "./block_q";
import { finish } from "./finish";
import { blocksOf, bytesOfBlock, numbersBytes, rowBytes, storeMasks } from "./format_q";
import { twoRows } from "./tile_q";
import { UNPACKED_BLOCKS, unpack } from "./unpack_q";

/** Byte offsets in the scratch: of one row its sums, then constants, then what many rows share. */
enum MatmulWork {
  masks = 256,
  unpacked = 400,
  sums = 10640,
  /** rows whose sums there is room for */
  Rows = 64,
}

/**
 * y[rows, n] = x[rows, k] · wᵀ + bias + residual, for the panels `first` to `last` of w.
 * w is as format_q.ts says, x as quantize.ts makes it.
 * Order of additions, for every row of x alike: blocks one after the other, of each its parts (format_q.ts), of each a
 * whole number times both its scales, then, if there are minimums, − Σx · (scale of x) · minimum; at the end bias, then
 * residual. `streams`: in how many places at once the weights are read; changes no result.
 * scratch: WorkBytes.
 */
export function matmulQ<N, S>(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  residual: usize,
  rows: usize,
  n: usize,
  k: usize,
  first: usize,
  last: usize,
  streams: usize,
  scratch: usize,
): void {
  const yStride = n << 2;
  const xStride = rowBytes<N>(k);
  storeMasks(scratch + MatmulWork.masks);
  if (rows == 1) {
    panels<N, S>(y, x, w, bias, residual, n, k, first, last, streams, scratch);
    return;
  }
  const panelBytes = blocksOf(k) * bytesOfBlock<N, S>();
  const sums = scratch + MatmulWork.sums;
  const pairs = rows & ~1;
  for (let panel = first; panel < last; panel++) {
    for (let row: usize = 0; row < pairs; row += MatmulWork.Rows) {
      const some = min<usize>(pairs - row, MatmulWork.Rows);
      rowsOfPanel<N, S>(sums, x + row * xStride, some, k, w + panel * panelBytes, scratch);
      for (let i: usize = 0; i < some; i++) {
        const at = (row + i) * yStride;
        finish(y + at, bias, residual ? residual + at : 0, panel << 4, n, sums + (i << 6), 4);
      }
    }
    if (pairs < rows) {
      const at = pairs * yStride;
      const added = residual ? residual + at : 0;
      panels<N, S>(y + at, x + pairs * xStride, w, bias, added, n, k, panel, panel + 1, 1, scratch);
    }
  }
}

/** sums[rows][16] of an even number of rows of x through the panel p. */
function rowsOfPanel<N, S>(sums: usize, x: usize, rows: usize, k: usize, p: usize, scratch: usize): void {
  const unpacked = scratch + MatmulWork.unpacked;
  const masks = scratch + MatmulWork.masks;
  const blocks = blocksOf(k);
  memory.fill(sums, 0, rows << 6);
  for (let block: usize = 0; block < blocks; block += UNPACKED_BLOCKS) {
    const some = min(blocks - block, UNPACKED_BLOCKS);
    unpack<N, S>(unpacked, p, some, masks);
    for (let row: usize = 0; row < rows; row += 2) {
      twoRows<N, S>(sums + (row << 6), x + row * rowBytes<N>(k), k, block, some, p, unpacked, masks);
    }
    p += some * bytesOfBlock<N, S>();
  }
}

/** One row of x through the panels `first` to `last`, of which `streams` are read at a time. */
function panels<N, S>(
  y: usize,
  x: usize,
  w: usize,
  bias: usize,
  residual: usize,
  n: usize,
  k: usize,
  first: usize,
  last: usize,
  streams: usize,
  scratch: usize,
): void {
  const masks = scratch + MatmulWork.masks;
  const work = scratch + MatmulWork.unpacked;
  const blocks = blocksOf(k);
  const each = (last - first + streams - 1) / streams;
  const apart = each * blocks * bytesOfBlock<N, S>();
  for (let panel = first; panel < first + each; panel++) {
    let active: usize = 0;
    for (let other = panel; active < streams && other < last; other += each) active++;
    memory.fill(scratch, 0, active << 6);
    let p = w + panel * blocks * bytesOfBlock<N, S>();
    let numbersAt = x;
    let scales = x + blocks * numbersBytes<N>();
    for (let block: usize = 0; block < blocks; block++) {
      const factor = v128.load32_splat(scales);
      const sums = v128.load32_splat(scales + (blocks << 2));
      let q = p;
      for (let stream: usize = 0; stream < active; stream++) {
        oneBlock<N, S>(scratch + (stream << 6), q, numbersAt, factor, sums, masks, work);
        q += apart;
      }
      p += bytesOfBlock<N, S>();
      numbersAt += numbersBytes<N>();
      scales += 4;
    }
    for (let stream: usize = 0; stream < active; stream++) {
      finish(y, bias, residual, (panel + stream * each) << 4, n, scratch + (stream << 6), 4);
    }
  }
}
