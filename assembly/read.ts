/**
 * Reads `bytes` bytes from p on, 64 at a time, at memory speed; returns a digest, so that the reads are not optimised
 * away.
 */
export function readBytes(p: usize, bytes: usize): u32 {
  let a = i32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  const end = p + (bytes & ~63);
  for (; p < end; p += 64) {
    a = v128.or(a, v128.load(p));
    b = v128.or(b, v128.load(p, 16));
    c = v128.or(c, v128.load(p, 32));
    d = v128.or(d, v128.load(p, 48));
  }
  return i32x4.extract_lane(v128.or(v128.or(a, b), v128.or(c, d)), 0);
}
