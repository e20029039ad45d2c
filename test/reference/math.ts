/**
 * The arithmetic of the reference, in plain float64: literal and slow, one formula per function.
 *
 * Shapes: a matrix of activations is an array of rows, `Float64Array[n][dim]`; a weight is one flat `Float64Array`
 * with its shape beside it, row-major as in the checkpoint ([out, in] for a linear layer). No function writes to its
 * arguments.
 */

/** y = x Wᵀ + b. x [n][in], weight [out, in], bias [out] or null → [n][out]. torch.nn.functional.linear. */
export function linear(x: Float64Array[], weight: Float64Array, bias: Float64Array | null = null): Float64Array[] {
  return x.map((row) => {
    const width = row.length;
    const y = new Float64Array(weight.length / width);
    for (let o = 0; o < y.length; o++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += weight[o * width + i]! * row[i]!;
      y[o] = bias ? sum + bias[o]! : sum;
    }
    return y;
  });
}

/** x + y, both [n][dim]. */
export function add(x: Float64Array[], y: Float64Array[]): Float64Array[] {
  return x.map((row, p) => row.map((value, i) => value + y[p]![i]!));
}

/** x · y element by element, both [n][dim]. */
export function multiply(x: Float64Array[], y: Float64Array[]): Float64Array[] {
  return x.map((row, p) => row.map((value, i) => value * y[p]![i]!));
}

/** f of every element, [n][dim] → [n][dim]. */
export function map(x: Float64Array[], f: (value: number) => number): Float64Array[] {
  return x.map((row) => row.map(f));
}

/** x · weight / √(mean(x²) + eps). x [n][dim], weight [dim]. HF LlamaRMSNorm. */
export function rmsNorm(x: Float64Array[], weight: Float64Array, eps: number): Float64Array[] {
  return x.map((row) => {
    const meanSquare = row.reduce((sum, value) => sum + value * value, 0) / row.length;
    return row.map((value, i) => (weight[i]! * value) / Math.sqrt(meanSquare + eps));
  });
}

/** (x − mean) / √(variance + eps) · weight + bias. x [n][dim], weight [dim], bias [dim] or null. torch.nn.LayerNorm. */
export function layerNorm(
  x: Float64Array[],
  weight: Float64Array,
  bias: Float64Array | null,
  eps: number,
): Float64Array[] {
  return x.map((row) => {
    const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length;
    return row.map((value, i) => ((value - mean) / Math.sqrt(variance + eps)) * weight[i]! + (bias ? bias[i]! : 0));
  });
}

/** x · sigmoid(x). torch.nn.SiLU. */
export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/**
 * The error function, 2/√π ∫₀ˣ e^(−t²) dt, to 3e-15 relative.
 * Series 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1·3·5⋯(2n+1)): all terms of one sign, so nothing cancels.
 * see: Abramowitz & Stegun 7.1.6. From |x| = 6 on, 1 − |erf| < 3e-17 is below what a float64 can show.
 */
export function erf(x: number): number {
  if (Math.abs(x) >= 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** x · Φ(x), the exact GELU. torch.nn.GELU(approximate="none"), HF "gelu". */
export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** The tanh approximation of GELU. HF NewGELUActivation, "gelu_new"; the same as "gelu_pytorch_tanh". */
export function geluNew(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** e^xᵢ / Σ e^xⱼ, the maximum taken out first; −Infinity gives 0. [k] → [k]. */
export function softmax(x: Float64Array): Float64Array {
  const max = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = x.map((value) => Math.exp(value - max));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** Which two elements of a head form the pair that frequency i turns (of `rotaryDim` elements, half as many pairs). */
export type RopeLayout =
  /** LLaMA: elements i and i + rotaryDim/2. HF modeling_llama.rotate_half. */
  | "half"
  /** GPT-J: elements 2i and 2i + 1. HF modeling_gptj.rotate_every_two. */
  | "interleaved";

/** cos and sin of the angles position · θᵢ. inverseFrequencies θ [rotaryDim/2] → two of the same length. */
export function turns(position: number, inverseFrequencies: Float64Array): { cos: Float64Array; sin: Float64Array } {
  const angles = inverseFrequencies.map((theta) => position * theta);
  return { cos: angles.map((a) => Math.cos(a)), sin: angles.map((a) => Math.sin(a)) };
}

/**
 * R(position) x, with the position's `turns`: pair i of the first rotaryDim elements is turned by position · θᵢ radians;
 * the rest passes through. x [headDim], cos and sin [rotaryDim/2] → [headDim].
 */
export function rotate(
  x: Float64Array,
  { cos, sin }: { cos: Float64Array; sin: Float64Array },
  layout: RopeLayout,
): Float64Array {
  const y = x.slice();
  const half = cos.length;
  for (let i = 0; i < half; i++) {
    const a = layout === "half" ? i : 2 * i;
    const b = layout === "half" ? i + half : 2 * i + 1;
    y[a] = x[a]! * cos[i]! - x[b]! * sin[i]!;
    y[b] = x[b]! * cos[i]! + x[a]! * sin[i]!;
  }
  return y;
}

/** How a checkpoint's frequencies were stretched. HF modeling_rope_utils. */
export type RopeScaling =
  | { type: "default" }
  | { type: "linear"; factor: number }
  | { type: "llama3"; factor: number; lowFreqFactor: number; highFreqFactor: number; originalContext: number }
  | { type: "yarn"; factor: number; betaFast: number; betaSlow: number; truncate: boolean; originalContext: number }
  | { type: "divided"; factors: readonly number[] };

/** θᵢ = theta^(−2i/rotaryDim), then scaled. → [rotaryDim/2] radians per position. HF modeling_rope_utils. */
export function inverseFrequencies(
  rotaryDim: number,
  theta: number,
  scaling: RopeScaling = { type: "default" },
): Float64Array {
  return Float64Array.from({ length: rotaryDim / 2 }, (_, i) => {
    const frequency = theta ** ((-2 * i) / rotaryDim);
    if (scaling.type === "default") return frequency;
    if (scaling.type === "linear") return frequency / scaling.factor;
    if (scaling.type === "divided") return frequency / scaling.factors[i]!;
    if (scaling.type === "yarn") return yarn(frequency, i, rotaryDim, theta, scaling);
    // llama3: short waves stay, long waves are stretched by `factor`, those between are mixed of both
    const turns = (scaling.originalContext * frequency) / (2 * Math.PI); // whole turns within the trained length
    if (turns > scaling.highFreqFactor) return frequency;
    if (turns < scaling.lowFreqFactor) return frequency / scaling.factor;
    const smooth = (turns - scaling.lowFreqFactor) / (scaling.highFreqFactor - scaling.lowFreqFactor);
    return ((1 - smooth) * frequency) / scaling.factor + smooth * frequency;
  });
}

/** _compute_yarn_parameters: short waves stay, long ones are stretched by `factor`, those between are mixed by a ramp over i. */
function yarn(
  frequency: number,
  i: number,
  dim: number,
  base: number,
  { factor, betaFast, betaSlow, truncate, originalContext }: Extract<RopeScaling, { type: "yarn" }>,
): number {
  const findCorrectionDim = (rotations: number) =>
    (dim * Math.log(originalContext / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  let low = findCorrectionDim(betaFast);
  let high = findCorrectionDim(betaSlow);
  if (truncate) [low, high] = [Math.floor(low), Math.ceil(high)];
  [low, high] = [Math.max(low, 0), Math.min(high, dim - 1)];
  if (low === high) high += 0.001;
  const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
  const extrapolation = 1 - ramp;
  return (frequency / factor) * (1 - extrapolation) + frequency * extrapolation;
}

/**
 * ALiBi's slope of every head, any head count. → [heads]. MosaicML llm-foundry and HF modeling_mpt: gen_slopes.
 * Head counts that are no power of two take the slopes of the next one, every second first, then the others.
 */
export function alibiSlopes(heads: number, alibiBiasMax = 8): Float64Array {
  let power = 1;
  while (power < heads) power *= 2;
  const slopes = Array.from({ length: power }, (_, i) => 2 ** (-(i + 1) * (alibiBiasMax / power)));
  if (power === heads) return Float64Array.from(slopes);
  const odd = slopes.filter((_, i) => i % 2 === 1);
  const even = slopes.filter((_, i) => i % 2 === 0);
  return Float64Array.from([...odd, ...even].slice(0, heads));
}
