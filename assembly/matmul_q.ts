import { oneBlock } from "./block_q";
import { finish } from "./finish";
import { blocksOf, bytesOfBlock, numbersBytes, rowBytes, storeMasks } from "./format_q";
import { fourRows } from "./tile_q";

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
  storeMasks(scratch + 256);
  if (rows == 1) {
    panels<N, S>(y, x, w, bias, residual, n, k, first, last, streams, scratch);
    return;
  }
  const panelBytes = blocksOf(k) * bytesOfBlock<N, S>();
  for (let panel = first; panel < last; panel++) {
    let row: usize = 0;
    for (; row + 2 <= rows; row += 4) {
      const out = row * yStride;
      const some = min<usize>(rows - row, 4);
      for (let half: usize = 0; half < 2 && (panel << 4) + (half << 3) < n; half++) {
        fourRows<N, S>(x + row * xStride, some, k, w + panel * panelBytes, half, scratch, scratch + 256);
        for (let i: usize = 0; i < some; i++) {
          const column = (panel << 4) + (half << 3);
          const at = out + i * yStride;
          finish(y + at, bias, residual ? residual + at : 0, column, n, scratch + (i << 5), 2);
        }
      }
    }
    if (row < rows) {
      const at = row * yStride;
      const added = residual ? residual + at : 0;
      panels<N, S>(y + at, x + row * xStride, w, bias, added, n, k, panel, panel + 1, 1, scratch);
    }
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
        oneBlock<N, S>(scratch + (stream << 6), q, numbersAt, factor, sums, scratch + 256);
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
