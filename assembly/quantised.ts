import { Bytes, Fives, Minimums, Nibbles, SevenPairs, SevenQuads, SixteenMinimums, Sixteens } from "./format_q";
import { Bf16, F16 } from "./half";
import { Format } from "./layout";
import { matmulQ } from "./matmul_q";

/** matmulQ for a format that is known at run time. quads: how Sevens are multiplied (dots.ts). */
export function quantisedMatmul(
  format: Format,
  quads: bool,
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
  work: usize,
): void {
  switch (format) {
    case Format.Q8:
      matmulQ<Bytes, Bf16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    case Format.Q7:
      if (quads) matmulQ<SevenQuads, Bf16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      else matmulQ<SevenPairs, Bf16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    case Format.Q4:
      matmulQ<Nibbles, Bf16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    case Format.Q8_0:
      matmulQ<Bytes, F16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    case Format.Q6_K:
      matmulQ<Bytes, Sixteens>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    case Format.Q5_0:
      matmulQ<Fives, F16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    case Format.Q5_K:
      matmulQ<Fives, Minimums>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    case Format.Q4_0:
      matmulQ<Nibbles, F16>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    case Format.Q4_K:
      matmulQ<Nibbles, Minimums>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
      break;
    default: // Q2_K
      matmulQ<Nibbles, SixteenMinimums>(y, x, w, bias, residual, rows, n, k, first, last, streams, work);
  }
}
