/** What bounds every kernel: loops that only read, and loops that only multiply. bench/roof.ts times them. */

/** Reads `bytes` bytes from `p` on, a multiple of 128, by 128-bit loads; returns a number that needs them all. */
export function read(p: usize, bytes: usize): i32 {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  for (const end = p + bytes; p < end; p += 128) {
    a0 = v128.or(a0, v128.load(p));
    a1 = v128.or(a1, v128.load(p, 16));
    a2 = v128.or(a2, v128.load(p, 32));
    a3 = v128.or(a3, v128.load(p, 48));
    a4 = v128.or(a4, v128.load(p, 64));
    a5 = v128.or(a5, v128.load(p, 80));
    a6 = v128.or(a6, v128.load(p, 96));
    a7 = v128.or(a7, v128.load(p, 112));
  }
  return i32x4.bitmask(fold(a0, a1, a2, a3, a4, a5, a6, a7));
}

function fold(a0: v128, a1: v128, a2: v128, a3: v128, a4: v128, a5: v128, a6: v128, a7: v128): v128 {
  return v128.or(v128.or(v128.or(a0, a1), v128.or(a2, a3)), v128.or(v128.or(a4, a5), v128.or(a6, a7)));
}

/** `turns` turns of 12 independent products and sums of f32x4: 96 operations a turn. */
export function multiplyFloats(turns: i32): i32 {
  // Factors that the compilers do not know: constants they would load anew at every use.
  const m = f32x4.splat(1 / <f32>turns);
  const c = f32x4.splat(<f32>turns);
  let a0 = f32x4(0, 1, 2, 3);
  let a1 = f32x4(4, 5, 6, 7);
  let a2 = f32x4(8, 9, 10, 11);
  let a3 = f32x4(12, 13, 14, 15);
  let a4 = f32x4(16, 17, 18, 19);
  let a5 = f32x4(20, 21, 22, 23);
  let a6 = f32x4(24, 25, 26, 27);
  let a7 = f32x4(28, 29, 30, 31);
  let a8 = f32x4(32, 33, 34, 35);
  let a9 = f32x4(36, 37, 38, 39);
  let a10 = f32x4(40, 41, 42, 43);
  let a11 = f32x4(44, 45, 46, 47);
  for (let i = 0; i < turns; i++) {
    a0 = f32x4.add(f32x4.mul(a0, m), c);
    a1 = f32x4.add(f32x4.mul(a1, m), c);
    a2 = f32x4.add(f32x4.mul(a2, m), c);
    a3 = f32x4.add(f32x4.mul(a3, m), c);
    a4 = f32x4.add(f32x4.mul(a4, m), c);
    a5 = f32x4.add(f32x4.mul(a5, m), c);
    a6 = f32x4.add(f32x4.mul(a6, m), c);
    a7 = f32x4.add(f32x4.mul(a7, m), c);
    a8 = f32x4.add(f32x4.mul(a8, m), c);
    a9 = f32x4.add(f32x4.mul(a9, m), c);
    a10 = f32x4.add(f32x4.mul(a10, m), c);
    a11 = f32x4.add(f32x4.mul(a11, m), c);
  }
  return i32x4.bitmask(fold(v128.xor(v128.xor(v128.xor(v128.xor(a0, a8), a9), a10), a11), a1, a2, a3, a4, a5, a6, a7));
}

/** `turns` turns of 12 independent dots of i16x8, added up as i32x4: 192 operations a turn. */
export function multiplyShorts(turns: i32): i32 {
  const m = i16x8.splat(<i16>turns);
  let a0 = i32x4(0, 1, 2, 3);
  let a1 = i32x4(4, 5, 6, 7);
  let a2 = i32x4(8, 9, 10, 11);
  let a3 = i32x4(12, 13, 14, 15);
  let a4 = i32x4(16, 17, 18, 19);
  let a5 = i32x4(20, 21, 22, 23);
  let a6 = i32x4(24, 25, 26, 27);
  let a7 = i32x4(28, 29, 30, 31);
  let a8 = i32x4(32, 33, 34, 35);
  let a9 = i32x4(36, 37, 38, 39);
  let a10 = i32x4(40, 41, 42, 43);
  let a11 = i32x4(44, 45, 46, 47);
  for (let i = 0; i < turns; i++) {
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(a0, m));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(a1, m));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(a2, m));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(a3, m));
    a4 = i32x4.add(a4, i32x4.dot_i16x8_s(a4, m));
    a5 = i32x4.add(a5, i32x4.dot_i16x8_s(a5, m));
    a6 = i32x4.add(a6, i32x4.dot_i16x8_s(a6, m));
    a7 = i32x4.add(a7, i32x4.dot_i16x8_s(a7, m));
    a8 = i32x4.add(a8, i32x4.dot_i16x8_s(a8, m));
    a9 = i32x4.add(a9, i32x4.dot_i16x8_s(a9, m));
    a10 = i32x4.add(a10, i32x4.dot_i16x8_s(a10, m));
    a11 = i32x4.add(a11, i32x4.dot_i16x8_s(a11, m));
  }
  return i32x4.bitmask(fold(v128.xor(v128.xor(v128.xor(v128.xor(a0, a8), a9), a10), a11), a1, a2, a3, a4, a5, a6, a7));
}

/** `turns` turns of 12 independent relaxed dots of i8x16, added up as i32x4: 384 operations a turn. */
export function multiplyBytes(turns: i32): i32 {
  const m = i8x16.splat(<i8>(turns & 63));
  const x = i8x16.splat(<i8>turns);
  let a0 = i32x4(0, 1, 2, 3);
  let a1 = i32x4(4, 5, 6, 7);
  let a2 = i32x4(8, 9, 10, 11);
  let a3 = i32x4(12, 13, 14, 15);
  let a4 = i32x4(16, 17, 18, 19);
  let a5 = i32x4(20, 21, 22, 23);
  let a6 = i32x4(24, 25, 26, 27);
  let a7 = i32x4(28, 29, 30, 31);
  let a8 = i32x4(32, 33, 34, 35);
  let a9 = i32x4(36, 37, 38, 39);
  let a10 = i32x4(40, 41, 42, 43);
  let a11 = i32x4(44, 45, 46, 47);
  for (let i = 0; i < turns; i++) {
    a0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a0);
    a1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a1);
    a2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a2);
    a3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a3);
    a4 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a4);
    a5 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a5);
    a6 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a6);
    a7 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a7);
    a8 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a8);
    a9 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a9);
    a10 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a10);
    a11 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, m, a11);
  }
  return i32x4.bitmask(fold(v128.xor(v128.xor(v128.xor(v128.xor(a0, a8), a9), a10), a11), a1, a2, a3, a4, a5, a6, a7));
}

/** The same, added up as i16x8. */
export function multiplyBytesToShorts(turns: i32): i32 {
  const m = i8x16.splat(<i8>(turns & 63));
  let a0 = i32x4(0, 1, 2, 3);
  let a1 = i32x4(4, 5, 6, 7);
  let a2 = i32x4(8, 9, 10, 11);
  let a3 = i32x4(12, 13, 14, 15);
  let a4 = i32x4(16, 17, 18, 19);
  let a5 = i32x4(20, 21, 22, 23);
  let a6 = i32x4(24, 25, 26, 27);
  let a7 = i32x4(28, 29, 30, 31);
  let a8 = i32x4(32, 33, 34, 35);
  let a9 = i32x4(36, 37, 38, 39);
  let a10 = i32x4(40, 41, 42, 43);
  let a11 = i32x4(44, 45, 46, 47);
  for (let i = 0; i < turns; i++) {
    a0 = i16x8.add(a0, i16x8.relaxed_dot_i8x16_i7x16_s(a0, m));
    a1 = i16x8.add(a1, i16x8.relaxed_dot_i8x16_i7x16_s(a1, m));
    a2 = i16x8.add(a2, i16x8.relaxed_dot_i8x16_i7x16_s(a2, m));
    a3 = i16x8.add(a3, i16x8.relaxed_dot_i8x16_i7x16_s(a3, m));
    a4 = i16x8.add(a4, i16x8.relaxed_dot_i8x16_i7x16_s(a4, m));
    a5 = i16x8.add(a5, i16x8.relaxed_dot_i8x16_i7x16_s(a5, m));
    a6 = i16x8.add(a6, i16x8.relaxed_dot_i8x16_i7x16_s(a6, m));
    a7 = i16x8.add(a7, i16x8.relaxed_dot_i8x16_i7x16_s(a7, m));
    a8 = i16x8.add(a8, i16x8.relaxed_dot_i8x16_i7x16_s(a8, m));
    a9 = i16x8.add(a9, i16x8.relaxed_dot_i8x16_i7x16_s(a9, m));
    a10 = i16x8.add(a10, i16x8.relaxed_dot_i8x16_i7x16_s(a10, m));
    a11 = i16x8.add(a11, i16x8.relaxed_dot_i8x16_i7x16_s(a11, m));
  }
  return i32x4.bitmask(fold(v128.xor(v128.xor(v128.xor(v128.xor(a0, a8), a9), a10), a11), a1, a2, a3, a4, a5, a6, a7));
}
