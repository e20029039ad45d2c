/** The NLL of tokens, an observer: it reads what other records wrote and changes none of it. */
import { exp } from "./math";
import { Nll } from "./op";
import { word } from "./record";
import { keep, largestLane, loadFloats } from "./simd";

/** Handles one of the rows that want logits, for an Op.Nll record. */
export function nllRow(record: usize, index: u32): void {
  const n = word(record, Nll.n);
  const x = word(record, Nll.x) + ((index * n) << 2);
  nll(word(record, Nll.out) + (index << 4), x, load<u32>(word(record, Nll.targets) + (index << 2)), n);
}

/** out f64[2] = Σ exp(x − max x), max x − x[target], for x[n]; NaN both if a number of x is not finite. */
export function nll(out: usize, x: usize, target: u32, n: u32): void {
  const whole = n & ~3;
  const end = x + (whole << 2);
  let largest = f32x4.splat(load<f32>(x));
  let strange = f32x4.splat(0);
  for (let p = x; p < end; p += 16) {
    const v = v128.load(p);
    largest = f32x4.pmax(largest, v);
    // 0 · x is 0 for every finite number.
    strange = f32x4.add(strange, f32x4.mul(v, f32x4.splat(0)));
  }
  let maximum = largestLane(largest);
  let finite = <i32>!v128.any_true(f32x4.ne(strange, strange));
  for (let p = end; p < x + (n << 2); p += 4) {
    const value = load<f32>(p);
    maximum = max<f32>(maximum, value);
    if (!isFinite(value)) finite = 0;
  }
  let even = f64x2.splat(0);
  let odd = f64x2.splat(0);
  for (let i: u32 = 0; i < n; i += 4) {
    const count = n - i;
    const p = keep(exp(f32x4.sub(loadFloats(x + (i << 2), count), f32x4.splat(maximum))), count);
    even = f64x2.add(even, f64x2.promote_low_f32x4(p));
    odd = f64x2.add(odd, f64x2.promote_low_f32x4(v128.shuffle<f32>(p, p, 2, 3, 0, 1)));
  }
  const both = f64x2.add(even, odd);
  const sum = f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
  store<f64>(out, finite ? sum : NaN);
  store<f64>(out, finite ? <f64>maximum - <f64>load<f32>(x + (target << 2)) : NaN, 8);
}
