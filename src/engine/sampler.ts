import { mismatch, OptionError } from "../base/errors.ts";
import { exp, log } from "../base/math.ts";
import { draw, type Random } from "../base/random.ts";
import type { ResponseFormat } from "../grammar/index.ts";
import { type Cuts, cutRest, cutTopH, TOP_H_TOKENS } from "./cuts.ts";
import { type History, type Processing, Processors } from "./processors.ts";

/** How the next token is chosen. Names and order of application are Hugging Face's. */
export interface Sampling {
  /** false: always the most likely token. */
  readonly doSample: boolean;
  /** Above 0; divides the logits. */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0: all. */
  readonly topK: number;
  /** Keep the fewest tokens whose probabilities add up to this; 1: all. */
  readonly topP: number;
  /** Keep tokens at least this times as likely as the most likely one; 0: all. */
  readonly minP: number;
  /** Above 1 makes tokens that occur among the last repeatLastN less likely. 1: off. */
  readonly repetitionPenalty: number;
}

/** Everything that a token is chosen by: plain data, which crosses to a worker once per generation. */
export interface Choosing extends Sampling, Processing, Cuts {
  /** What the text has to be. */
  readonly responseFormat?: ResponseFormat | undefined;
  /** The most tokens that a step reads ahead because they may be chosen next; changes nothing but the time that it takes. */
  readonly promptLookupNumTokens?: number | undefined;
}

/** The most likely token, always. */
export const GREEDY: Sampling = { doSample: false, temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

/** Throws OptionError for the first value out of its range. */
export function checkSampling(sampling: Sampling): void {
  const check = (name: keyof Sampling, expected: string, good: (value: number) => boolean): void => {
    const value = sampling[name];
    if (typeof value !== "number" || !good(value)) throw new OptionError(mismatch(name, expected, value));
  };
  check("temperature", "a number above 0", (value) => value > 0 && value < Infinity);
  check("topK", "a whole number, 0 for all tokens", (value) => Number.isInteger(value) && value >= 0);
  check("topP", "a number above 0, at most 1", (value) => value > 0 && value <= 1);
  check("minP", "a number from 0 to 1", (value) => value >= 0 && value <= 1);
  check("repetitionPenalty", "a number above 0", (value) => value > 0 && value < Infinity);
}

/** What was chosen. */
export interface Choice {
  readonly id: number;
  /** ln of the token's probability under the model itself, before penalty, temperature and cuts. */
  readonly logprob: number;
}

/** Chooses tokens from logits; equal ones in the order of their ids. Buffers are made once. */
export class Sampler {
  readonly #processors: Processors;
  readonly #scores: Float32Array;
  readonly #keys: Float64Array;
  readonly #weights: Float64Array;

  constructor(vocabSize: number) {
    this.#processors = new Processors(vocabSize);
    this.#scores = new Float32Array(vocabSize);
    this.#keys = new Float64Array(vocabSize);
    this.#weights = new Float64Array(vocabSize);
  }

  /**
   * `logits` f32[vocab], all finite; `mask`: the tokens that may be chosen, bit id % 32 of word id >> 5. Throws OptionError
   * if every token is forbidden.
   */
  choose(logits: Float32Array, choosing: Choosing, history: History, random: Random, mask?: Uint32Array): Choice {
    const scores = this.process(logits, choosing, history);
    if (mask) applyMask(scores, mask);
    const best = argmax(scores);
    if (!((scores[best] as number) > -Infinity))
      throw new OptionError(mismatch("next token", "one that may be chosen", "none, as all are forbidden"));
    const id = choosing.doSample ? this.#sample(choosing, random) : best;
    return { id, logprob: (logits[id] as number) - logSumExp(logits) };
  }

  /** The scores f32[vocab] that a token is chosen by, before temperature and cuts; valid until the next call. */
  process(logits: Float32Array, processing: Processing, history: History): Float32Array {
    this.#scores.set(logits);
    this.#processors.apply(this.#scores, processing, history);
    return this.#scores;
  }

  #sample(choosing: Choosing, random: Random): number {
    const { ids, weights } = this.kept(choosing);
    let total = 0;
    for (const weight of weights) total += weight;
    const target = draw(random) * total;
    let sum = 0;
    for (let i = 0; i < ids.length; i++) {
      sum += weights[i] as number;
      if (sum > target) return ids[i] as number;
    }
    return ids.at(-1) as number;
  }

  /**
   * The ids that a token is drawn from, the most likely first, by the scores of the last call of `process`, and their
   * probabilities up to a common factor; valid until the next call.
   */
  kept(choosing: Choosing): { readonly ids: Float64Array; readonly weights: Float64Array } {
    const scores = this.#scores;
    const weights = this.#weights;
    const ids = this.#candidates(choosing.topH === undefined ? choosing.topK : TOP_H_TOKENS);
    const largest = scores[ids[0] as number] as number;
    for (let i = 0; i < ids.length; i++) {
      const score = scores[ids[i] as number] as number;
      weights[i] = score === largest ? 1 : exp((score - largest) / choosing.temperature);
    }
    let count = ids.length;
    while (count > 1 && scores[ids[count - 1] as number] === -Infinity) count--;
    const [from, to] = cut(weights, count, choosing);
    return { ids: ids.subarray(from, to), weights: weights.subarray(from, to) };
  }

  /** The ids of the topK (0: all) highest scores, highest first. */
  #candidates(topK: number): Float64Array {
    // One number sorts by falling score, then by rising id: the score's order as 32 bits, then 21 bits of id.
    const keys = this.#keys;
    const order = new Int32Array(this.#scores.buffer);
    const key = (id: number): number => {
      const bits = (order[id] as number) === -0x80000000 ? 0 : (order[id] as number); // −0 equals 0
      return (bits < 0 ? bits & 0x7fffffff : -bits - 1) * 2 ** 21 + id;
    };
    let kept: Float64Array;
    if (topK === 0 || topK >= keys.length) {
      for (let id = 0; id < keys.length; id++) keys[id] = key(id);
      kept = keys.sort();
    } else {
      kept = keys.subarray(0, topK).fill(Infinity);
      for (let id = 0; id < this.#scores.length; id++) {
        const candidate = key(id);
        if (candidate >= (kept[topK - 1] as number)) continue;
        let low = 0;
        for (let high = topK - 1; low < high; ) {
          const middle = (low + high) >> 1;
          if ((kept[middle] as number) < candidate) low = middle + 1;
          else high = middle;
        }
        kept.copyWithin(low + 1, low, topK - 1);
        kept[low] = candidate;
      }
    }
    for (let i = 0; i < kept.length; i++) {
      const value = kept[i] as number;
      kept[i] = value - Math.floor(value / 2 ** 21) * 2 ** 21;
    }
    return kept;
  }
}

/**
 * The range of candidates that is left of the first `count`. see: HF TopHLogitsWarper, TopKLogitsWarper,
 * TopPLogitsWarper, MinPLogitsWarper, TypicalLogitsWarper, EpsilonLogitsWarper, EtaLogitsWarper, in this order
 */
function cut(weights: Float64Array, count: number, choosing: Choosing): readonly [from: number, to: number] {
  const { topH, topK, topP, minP } = choosing;
  if (topH !== undefined) count = cutTopH(weights, count, topH);
  if (topK > 0) count = Math.min(count, topK);
  if (topP < 1) {
    let total = 0;
    for (let i = 0; i < count; i++) total += weights[i] as number;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      sum += weights[i] as number;
      if (sum >= topP * total) count = i + 1;
    }
  }
  while (count > 1 && (weights[count - 1] as number) < minP) count--;
  return cutRest(weights, count, choosing);
}

/** Forbids tokens whose bit is not set, and those behind the mask's end. */
function applyMask(scores: Float32Array, mask: Uint32Array): void {
  for (let word = 0; 32 * word < scores.length; word++) {
    const bits = mask[word] ?? 0;
    if (bits === 0) scores.fill(-Infinity, 32 * word, 32 * word + 32);
    else if (bits !== 0xffffffff) {
      for (let bit = 0; bit < 32; bit++) if (((bits >>> bit) & 1) === 0) scores[32 * word + bit] = -Infinity;
    }
  }
}

/** The index of the largest value, the first of equals. */
export function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}

/** ln Σ e^v, in nats. */
export function logSumExp(values: Float32Array): number {
  const largest = values[argmax(values)] as number;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += exp((values[i] as number) - largest);
  return largest + log(sum);
}
