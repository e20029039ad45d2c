/** The frequencies of RoPE and how models stretch them. see: HF modeling_rope_utils.py */
import { naturalLog, power } from "./positions.ts";

/** Lengths are in tokens; lists have an entry for every pair. */
export type RopeScaling =
  | { readonly type: "default" }
  | { readonly type: "linear"; readonly factor: number }
  | { readonly type: "divided"; readonly factors: readonly number[] }
  | Llama3Scaling
  | YarnScaling
  | LongScaling;

interface Llama3Scaling {
  readonly type: "llama3";
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly originalMaxPositionEmbeddings: number;
}

interface YarnScaling {
  readonly type: "yarn";
  readonly factor: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  readonly truncate: boolean;
  readonly originalMaxPositionEmbeddings: number;
}

interface LongScaling {
  readonly type: "longrope";
  readonly shortFactor: readonly number[];
  readonly longFactor: readonly number[];
  readonly originalMaxPositionEmbeddings: number;
}

/** θ_i = ropeTheta^(−2i / rotaryDim), scaled; [rotaryDim / 2]. Of longrope those of its short factors. */
export function inverseFrequencies(rotaryDim: number, ropeTheta: number, scaling: RopeScaling): number[] {
  const plain = Array.from({ length: rotaryDim / 2 }, (_, i) => power(ropeTheta, (-2 * i) / rotaryDim));
  switch (scaling.type) {
    case "default":
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor);
    case "divided":
      return divided(plain, scaling.factors);
    case "longrope":
      return divided(plain, scaling.shortFactor);
    case "llama3":
      return plain.map((frequency) => llama3(frequency, scaling));
    case "yarn":
      return yarn(plain, ropeTheta, scaling);
  }
}

/** longrope's frequencies for spans beyond the original length. */
export function longFrequencies(rotaryDim: number, ropeTheta: number, { longFactor }: LongScaling): number[] {
  return divided(inverseFrequencies(rotaryDim, ropeTheta, { type: "default" }), longFactor);
}

function divided(frequencies: readonly number[], factors: readonly number[]): number[] {
  return frequencies.map((frequency, i) => frequency / (factors[i] as number));
}

/** High frequencies stay, low ones are divided by the factor, those between are mixed of both. */
function llama3(frequency: number, scaling: Llama3Scaling): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling;
  const rotations = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
  if (rotations < lowFreqFactor) return frequency / factor;
  if (rotations > highFreqFactor) return frequency;
  const smooth = (rotations - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

/** As llama3, but mixed by a ramp over the pairs. arXiv 2309.00071; see: HF _compute_yarn_parameters */
function yarn(plain: readonly number[], ropeTheta: number, scaling: YarnScaling): number[] {
  const { factor, betaFast, betaSlow, truncate, originalMaxPositionEmbeddings } = scaling;
  const rotaryDim = 2 * plain.length;
  /** The pair, not a whole number, that turns so often within the original length. */
  const pairOf = (rotations: number) =>
    (rotaryDim * naturalLog(originalMaxPositionEmbeddings / (rotations * 2 * Math.PI))) / (2 * naturalLog(ropeTheta));
  const [fast, slow] = [pairOf(betaFast), pairOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, rotaryDim - 1);
  const width = high === low ? 0.001 : high - low;
  return plain.map((frequency, i) => {
    const ramp = Math.min(Math.max((i - low) / width, 0), 1);
    return (frequency / factor) * ramp + frequency * (1 - ramp);
  });
}
