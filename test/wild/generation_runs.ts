/** Runs of the choice of tokens: random settings on logits that both sides compute, as ours does them. */
import { argmax, type Sampler } from "../../src/engine/sampler.ts";
import { resolveSettings, type Settings, withPrompt } from "../../src/session/settings.ts";
import { samplerOf } from "../engine/samplers.ts";

export const VOCAB = 200;
/** As far back as choosing looks; longer than any run. */
const WINDOW = 128;

export interface Run {
  /** generation_config.json */
  readonly file: Readonly<Record<string, unknown>>;
  readonly prompt: readonly number[];
  /** Of the logits. */
  readonly seed: number;
  /** Tokens at most. */
  readonly steps: number;
}

/** The token, a checksum over the bits of the processed scores, one over the ids that are kept, and how many these are. */
export type Step = readonly [token: number, scores: number, kept: number, count: number];

/** A linear congruential generator of 32 bits. */
export class Lcg {
  constructor(public state: number) {}

  next(): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return this.state;
  }

  below(n: number): number {
    return Math.floor((this.next() / 2 ** 32) * n);
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  list<T>(least: number, most: number, item: () => T): T[] {
    return Array.from({ length: least + this.below(most - least + 1) }, item);
  }
}

/** A run of random settings, each of which is there in some runs and off in some of those. */
export function randomRun(number: number): Run {
  const random = new Lcg(number * 7919 + 17);
  const token = () => random.below(VOCAB);
  const few = () => random.below(12); // so that sequences come about
  const word = () => random.list(1, 3, few);
  const doSample = random.below(2) === 0;
  const keys: [string, number, () => unknown][] = [
    ["sequence_bias", 3, () => random.list(1, 12, () => [word(), random.pick([-9.5, 4.25, 12.1, 0.3])])],
    ["encoder_repetition_penalty", 3, () => random.pick([1.0, 0.7, 1.3, 2.1])],
    ["repetition_penalty", 2, () => random.pick([1.0, 1.1, 1.37, 0.8])],
    ["no_repeat_ngram_size", 3, () => random.below(4)],
    ["encoder_no_repeat_ngram_size", 4, () => random.below(4)],
    ["bad_words_ids", 3, () => [[9, 9], ...random.list(0, 15, word)]],
    ["min_length", 4, () => random.below(30)],
    ["min_new_tokens", 4, () => random.below(12)],
    ["forced_bos_token_id", 6, () => 195],
    // Of equal scores, ours keeps the smaller id; transformers' cuts keep either or both.
    ["forced_eos_token_id", 5, () => (doSample ? [191] : random.pick<unknown>([190, [191, 192]]))],
    ["remove_invalid_values", 6, () => random.pick([true, false])],
    ["exponential_decay_length_penalty", 4, () => [random.below(8), random.pick([1.02, 1.3, 1.9])]],
    ["suppress_tokens", 3, () => random.list(0, 60, () => random.below(VOCAB - 15))],
    ["begin_suppress_tokens", 4, () => random.list(1, 30, token)],
    ["max_new_tokens", 4, () => 1 + random.below(20)],
    ["max_length", 4, () => 21 + random.below(20)],
    ["temperature", 2, () => random.pick([0.5, 0.9, 1.7])],
    ["top_h", 4, () => random.pick([0.2, 0.5, 0.8])],
    ["top_k", 2, () => random.pick([0, 1, 5, 30, 150, 500])],
    ["top_p", 2, () => random.pick([1, 0.95, 0.6, 0.1, 0])],
    ["min_p", 3, () => random.pick([0, 0.02, 0.2, 1])],
    ["typical_p", 3, () => random.pick([1, 0.9, 0.5, 0.2])],
    ["epsilon_cutoff", 4, () => random.pick([0, 0.01, 0.1])],
    ["eta_cutoff", 4, () => random.pick([0, 0.01, 0.1])],
  ];
  const chosen = keys.filter(([, often]) => random.below(often) === 0).map(([key, , value]) => [key, value()]);
  const stops = { eos_token_id: random.pick<unknown>([3, [3, 7, 150]]) };
  const file = { do_sample: doSample, ...stops, ...Object.fromEntries(chosen) };
  const prompt = random.list(1, 20, random.pick([token, few]));
  return { file, prompt, seed: random.next(), steps: 1 + random.below(25) };
}

function checksum(bits: Uint32Array): number {
  let sum = 0;
  for (const [i, value] of bits.entries()) sum = (sum + Math.imul(value, Math.imul(i, 2654435761) | 1)) >>> 0;
  return sum;
}

/** The ids that could be chosen; none where transformers has infinities that it cannot sample from. */
function idsLeft(sampler: Sampler, settings: Settings, scores: Float32Array): ArrayLike<number> {
  const largest = scores[argmax(scores)] as number;
  if (!(largest > -Infinity) || largest >= 3.4028234663852886e38) return [];
  if (settings.doSample) return sampler.kept(settings);
  return Array.from(scores.keys()).filter((id) => (scores[id] as number) > -Infinity);
}

/** What ours does in a run. */
export function replay({ file, prompt, seed, steps }: Run): Step[] {
  const settings = withPrompt(resolveSettings({}, { vocab_size: VOCAB }, file), prompt.length);
  const sampler = samplerOf(VOCAB);
  const random = new Lcg(seed);
  const recent = new Int32Array(WINDOW).fill(-1);
  recent.set(prompt);
  const done: Step[] = [];
  while (done.length < Math.min(steps, settings.maxNewTokens)) {
    const logits = Float32Array.from({ length: VOCAB }, () => ((random.next() >>> 8) - 2 ** 23) / 2 ** 20);
    const length = prompt.length + done.length;
    const scores = sampler.process(logits, settings, { recent, position: length, length, newTokens: done.length });
    const token = argmax(scores);
    const mask = new Uint32Array(VOCAB);
    const left = idsLeft(sampler, settings, scores);
    for (let i = 0; i < left.length; i++) mask[left[i] as number] = 1;
    const bits = new Uint32Array(scores.map((score) => score + 0).buffer);
    done.push([token, checksum(bits), checksum(mask), left.length]);
    recent[length] = token;
    if (settings.stopTokens.has(token)) break;
  }
  return done;
}
