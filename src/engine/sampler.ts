import { Survey } from "../../assembly/survey.ts";
import { mismatch, OptionError } from "../base/errors.ts";
import { exp, log } from "../base/math.ts";
import { draw, type Random } from "../base/random.ts";
import type { ResponseFormat } from "../grammar/index.ts";
import type { Scores } from "../machine/scores.ts";
import { type Cuts, cutBelow, cutRest, cutTopH, cutTopP, TOP_H_TOKENS } from "./cuts.ts";
import { type LikelyToken, mostLikely } from "./likely.ts";
import { type History, type Processing, Processors } from "./processors.ts";
import { Ranking } from "./ranking.ts";

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
  /** How many of the most likely tokens are told with a choice. */
  readonly topLogprobs?: number | undefined;
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
export interface Choice extends LikelyToken {
  /** The most likely tokens in its place, the most likely first, where `topLogprobs` wants some. */
  readonly top?: readonly LikelyToken[] | undefined;
}

/** Chooses tokens from logits; equal ones in the order of their ids. Buffers are made once. */
export class Sampler {
  readonly #processors: Processors;
  readonly #scores: Scores;
  readonly #weights: Float64Array;

  constructor(scores: Scores) {
    this.#processors = new Processors(scores.size);
    this.#scores = scores;
    this.#weights = new Float64Array(scores.size);
  }

  /**
   * @param logits f32[vocab], all finite
   * @param format mask: a bit for each token, id % 32 of word id >> 5: 1: it may be chosen; forced: the one that is, unless it
   *   is forbidden otherwise
   * @returns with a logprob within 1e-6
   * @throws OptionError if every token is forbidden
   */
  choose(
    logits: Float32Array,
    choosing: Choosing,
    history: History,
    random: Random,
    { mask, forced = -1 }: { readonly mask?: Uint32Array; readonly forced?: number | undefined } = {},
  ): Choice {
    const logSum = this.#process(logits, choosing, history, mask);
    const best = this.#best();
    if (!((this.#scores.values[best] as number) > -Infinity))
      throw new OptionError(mismatch("next token", "one that may be chosen", "none, as all are forbidden"));
    const isForced = (this.#scores.values[forced] ?? -Infinity) > -Infinity;
    const id = isForced ? forced : choosing.doSample ? this.#sample(choosing, random) : best;
    const { topLogprobs = 0 } = choosing;
    const top = topLogprobs > 0 ? { top: mostLikely(logits, topLogprobs, logSum) } : {};
    return { id, logprob: (logits[id] as number) - logSum, ...top };
  }

  /** The scores f32[vocab] that a token is chosen by, before temperature and cuts; valid until the next call. */
  process(logits: Float32Array, processing: Processing, history: History, mask?: Uint32Array): Float32Array {
    this.#process(logits, processing, history, mask);
    return this.#scores.values;
  }

  /** Makes the scores; returns ln Σ e^logit. */
  #process(logits: Float32Array, processing: Processing, history: History, mask: Uint32Array | undefined): number {
    const logSum = this.#scores.take(logits);
    const changed = this.#processors.apply(this.#scores.values, processing, history);
    if (mask) this.#scores.allowOnly(mask);
    if (changed || mask) this.#scores.changed();
    return logSum;
  }

  /** The id of the largest score, the first of equals. */
  #best(): number {
    const first = argmax(this.#scores.maxima) * Survey.Block;
    return first + argmax(this.#scores.values.subarray(first, first + Survey.Block));
  }

  #sample(choosing: Choosing, random: Random): number {
    const { ranking, from, to } = this.#cut(choosing);
    const target = draw(random) * ranking.total(from, to);
    let sum = ranking.weight(from);
    let place = from;
    while (sum <= target && place + 1 < to && ranking.has(place + 1)) sum += ranking.weight(++place);
    return ranking.id(place);
  }

  /** The ids that a token is drawn from, the most likely first, by the scores of the last call of `process`. */
  kept(choosing: Choosing): number[] {
    const { ranking, from, to } = this.#cut(choosing);
    const ids: number[] = [];
    for (let place = from; place < to && ranking.has(place); place++) ids.push(ranking.id(place));
    return ids;
  }

  /**
   * The places of the ranking that are left. see: HF TopHLogitsWarper, TopKLogitsWarper, TopPLogitsWarper,
   * MinPLogitsWarper, TypicalLogitsWarper, EpsilonLogitsWarper, EtaLogitsWarper, in this order
   */
  #cut(choosing: Choosing): { readonly ranking: Ranking; readonly from: number; readonly to: number } {
    const { topH, topK, topP, minP, temperature } = choosing;
    const wanted = topH === undefined ? topK : TOP_H_TOKENS;
    const ranking = new Ranking(this.#scores, this.#weights, temperature, wanted);
    let last = topH === undefined ? Infinity : cutTopH(ranking, TOP_H_TOKENS, topH);
    if (topK > 0) last = Math.min(last, topK);
    if (topP < 1) last = cutTopP(ranking, last, topP);
    if (minP > 0) [, last] = cutBelow(ranking, 0, last, minP);
    const [from, to] = cutRest(ranking, last, choosing);
    return { ranking, from, to };
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
