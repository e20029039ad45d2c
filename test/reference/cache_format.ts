/** Keys and values rounded to a format of the cache, one number at a time. */
import type { CacheDType } from "../../src/base/dtype.ts";

/** Numbers of a head that share a scale in int8. */
export const BLOCK = 32;

/** heads[…, headDim] as they are after a way through the cache. */
export function rounded(dtype: CacheDType, heads: Float32Array, headDim: number): Float32Array {
  if (dtype === "f32") return heads.slice();
  if (dtype === "bf16") return heads.map(toBf16);
  const result = new Float32Array(heads.length);
  for (let head = 0; head < heads.length; head += headDim) {
    for (let d = 0; d < headDim; d += BLOCK) {
      const [from, to] = [head + d, head + Math.min(d + BLOCK, headDim)];
      result.set(throughInt8(heads.subarray(from, to)), from);
    }
  }
  return result;
}

function toBf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const lower = bits & 0xffff;
  const up = lower > 0x8000 || (lower === 0x8000 && (bits & 0x10000) !== 0) ? 0x10000 : 0;
  return new Float32Array(Uint32Array.of(bits - lower + up).buffer)[0]!;
}

/** x · 127 / max|x|, rounded to nearest even, times max|x| / 127; every step in f32. */
function throughInt8(block: Float32Array): Float32Array {
  const largest = block.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const scale = Math.fround(largest / 127);
  return block.map((x) => (largest === 0 ? 0 : roundEven(Math.fround(Math.fround(x / largest) * 127)) * scale));
}

function roundEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
