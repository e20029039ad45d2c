/**
 * How positions affect attention: rotary angles (RoPE) and linear biases (ALiBi), with the same bits on every engine.
 * Powers are computed in fixed point, because Math.pow, exp and log differ between engines in the last bit.
 */

export type Positions = Rope | Alibi | NoPositions;

/** Rotary positions. */
export interface Rope {
  readonly kind: "rope";
  /** θ_i in radians per position, [rotaryDim / 2]: the first rotaryDim dimensions of each head are rotated. */
  readonly inverseFrequencies: readonly number[];
  /** Pairs are adjacent (GPT-J) instead of half the rotary dimensions apart (LLaMA). */
  readonly interleaved: boolean;
  /** What rotated queries and keys are multiplied by, transformers' attention_scaling; 1 by default. */
  readonly factor?: number | undefined;
  /**
   * longrope: the frequencies for spans of more than `beyond` tokens, and, once planning has decided it by the layer's
   * policy, which factors inverseFrequencies has.
   */
  readonly long?: { readonly beyond: number; readonly inverseFrequencies: readonly number[] } | undefined;
  readonly factors?: "short" | "long" | undefined;
  /** Queries are multiplied by 1 + beta · ln(1 + ⌊n / original⌋), n: tokens before them. see: HF get_llama_4_attn_scale */
  readonly temperature?: { readonly beta: number; readonly original: number } | undefined;
}

/** Linear biases. */
export interface Alibi {
  readonly kind: "alibi";
  /** [heads]: the logit of a pair at distance d is lowered by slope · d. */
  readonly slopes: readonly number[];
}

/** Only the causal mask depends on the order of keys (NoPE). */
export interface NoPositions {
  readonly kind: "none";
}

const BITS = 128n;
const ONE = 1n << BITS;
/** 2π · 2^128 */
const TWO_PI = 0x6487ed5110b4611a62633145c06e0e689n;

/** A finite number in fixed point. */
function fixed(value: number): bigint {
  // Scaling by a power of two is exact; bits below 2^-128 are truncated.
  return BigInt(Math.trunc(value * 2 ** 96)) << 32n;
}

function toNumber(value: bigint): number {
  return Number(value) / 2 ** 128;
}

/** Natural logarithm of a fixed-point number above 0. */
function log(value: bigint): bigint {
  let exponent = 0n;
  let x = value;
  for (; x >= 2n * ONE; x >>= 1n) exponent++;
  for (; x < ONE; x <<= 1n) exponent--;
  return 2n * atanh(((x - ONE) << BITS) / (x + ONE)) + exponent * LN2;
}

/** atanh for |x| ≤ 1/3. */
function atanh(x: bigint): bigint {
  const square = (x * x) >> BITS;
  let sum = 0n;
  let power = x;
  for (let n = 1n; power !== 0n && power !== -1n; n += 2n) {
    sum += power / n;
    power = (power * square) >> BITS;
  }
  return sum;
}

const LN2 = 2n * atanh(ONE / 3n);

/** e^x of a fixed-point number. */
function exp(x: bigint): bigint {
  let shift = x / LN2;
  let rest = x % LN2;
  if (rest < 0n) {
    rest += LN2;
    shift -= 1n;
  }
  let sum = 0n;
  let term = ONE;
  for (let n = 1n; term !== 0n; n++) {
    sum += term;
    term = ((term * rest) >> BITS) / n;
  }
  return shift < 0n ? sum >> -shift : sum << shift;
}

/** base^exponent for a base above 0, correct to the last bit or nearly so, the same on every engine. */
export function power(base: number, exponent: number): number {
  return toNumber(exp((log(fixed(base)) * fixed(exponent)) >> BITS));
}

/** Natural logarithm of a number from 1e-200 to 1e200, correct to the last bit or nearly so, the same on every engine. */
export function naturalLog(value: number): number {
  // Fixed point has no room for small numbers.
  return value < 1 ? -naturalLog(1 / value) : toNumber(log(fixed(value)));
}

/** Turns per position in units of 2^-64 turn: T = round(2^64 · θ / 2π). The angle of position p is p · T mod 2^64. */
export function turns(inverseFrequency: number): bigint {
  return ((fixed(inverseFrequency) << 64n) + TWO_PI / 2n) / TWO_PI;
}

/**
 * ALiBi slopes as in MPT, for any number of heads: 2^(−alibiBiasMax · i / n) for i = 1 … n with n the next power of
 * two; if n exceeds the number of heads, every second one first. see: MosaicML llm-foundry gen_slopes
 */
export function alibiSlopes(heads: number, alibiBiasMax: number): number[] {
  let n = 1;
  while (n < heads) n *= 2;
  const slopes = Array.from({ length: n }, (_, i) => power(2, (-alibiBiasMax * (i + 1)) / n));
  if (n === heads) return slopes;
  const odd = slopes.filter((_, i) => i % 2 === 1);
  const even = slopes.filter((_, i) => i % 2 === 0);
  return [...odd, ...even].slice(0, heads);
}
