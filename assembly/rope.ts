import { cosTurns, log, sinTurns } from "./math";
import { loadFloats, storeFloats } from "./simd";

/**
 * out[2, pairs]: cos, then sin, of position · turns[i] units of 2^-64 turn, times `factor`: exact up to the final rounding
 * to f32.
 */
export function angles(out: usize, turns: usize, pairs: i32, position: u64, factor: f64): void {
  for (let i = 0; i < pairs; i++) {
    const angle = position * load<u64>(turns + ((<usize>i) << 3));
    store<f32>(out + ((<usize>i) << 2), <f32>(cosTurns(angle) * factor));
    store<f32>(out + ((<usize>(pairs + i)) << 2), <f32>(sinTurns(angle) * factor));
  }
}

/**
 * y[heads, headDim] = x with its first rotaryDim numbers per head rotated by cosSin[2, rotaryDim / 2]; the others copied.
 * Pairs are (i, i + rotaryDim / 2), see: HF rotate_half (LLaMA); interleaved: (2i, 2i + 1), see: HF rotate_every_two (GPT-J).
 */
export function rope(
  y: usize,
  x: usize,
  cosSin: usize,
  heads: i32,
  headDim: i32,
  rotaryDim: i32,
  interleaved: bool,
): void {
  for (let head = 0; head < heads; head++) {
    if (interleaved) rotateNeighbours(y, x, cosSin, rotaryDim >> 1);
    else rotateHalves(y, x, cosSin, rotaryDim >> 1);
    const rotated = (<usize>rotaryDim) << 2;
    const bytes = (<usize>headDim) << 2;
    memory.copy(y + rotated, x + rotated, bytes - rotated);
    x += bytes;
    y += bytes;
  }
}

function rotateHalves(y: usize, x: usize, cosSin: usize, pairs: i32): void {
  const half = (<usize>pairs) << 2;
  for (let i = 0; i < pairs; i += 4) {
    const at = (<usize>i) << 2;
    const count = pairs - i;
    const c = loadFloats(cosSin + at, count);
    const s = loadFloats(cosSin + half + at, count);
    const a = loadFloats(x + at, count);
    const b = loadFloats(x + half + at, count);
    storeFloats(y + at, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)), count);
    storeFloats(y + half + at, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)), count);
  }
}

function rotateNeighbours(y: usize, x: usize, cosSin: usize, pairs: i32): void {
  const half = (<usize>pairs) << 2;
  for (let i = 0; i < pairs; i++) {
    const at = (<usize>i) << 2;
    const c = load<f32>(cosSin + at);
    const s = load<f32>(cosSin + half + at);
    const a = load<f32>(x + (at << 1));
    const b = load<f32>(x + (at << 1), 4);
    store<f32>(y + (at << 1), a * c - b * s);
    store<f32>(y + (at << 1), b * c + a * s, 4);
  }
}

/** y[n] = x · (1 + beta · ln(1 + ⌊position / original⌋)), the factor rounded to f32. see: HF get_llama_4_attn_scale */
export function temper(y: usize, x: usize, n: i32, position: u64, original: u64, beta: f64): void {
  const times = position / original + 1;
  const factor = f32x4.splat(<f32>(1 + beta * log(<f64>times)));
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    storeFloats(y + at, f32x4.mul(loadFloats(x + at, n - i), factor), n - i);
  }
}
