/** What is done to the scores of all tokens before one of them is chosen, greedily or not. */

/** Settings that change scores; what is absent changes nothing. Names are Hugging Face's. */
export interface Processing {
  /** What is added to the score of a sequence's last token where the text ends with the tokens before it. */
  readonly sequenceBias?: readonly (readonly [sequence: readonly number[], bias: number])[] | undefined;
  /** Above 1 makes tokens of the prompt more likely. */
  readonly encoderRepetitionPenalty?: number | undefined;
  /** Above 1 makes tokens that occur among the last repeatLastN less likely. 1: off. */
  readonly repetitionPenalty: number;
  /** No n tokens in a row occur twice. */
  readonly noRepeatNgramSize?: number | undefined;
  /** No n tokens in a row of the prompt occur again. */
  readonly encoderNoRepeatNgramSize?: number | undefined;
  /** Sequences that are never completed. */
  readonly badWordsIds?: readonly (readonly number[])[] | undefined;
  /** Tokens of prompt and text together before a stop token may be chosen. */
  readonly minLength?: number | undefined;
  /** New tokens before a stop token may be chosen. */
  readonly minNewTokens?: number | undefined;
  /** The second token of the text, where the prompt is one token. */
  readonly forcedBosTokenId?: number | undefined;
  /** The last one of maxNewTokens is one of these. */
  readonly forcedEosTokenId?: readonly number[] | undefined;
  readonly maxNewTokens?: number | undefined;
  /** Infinite scores become the largest finite ones. */
  readonly removeInvalidValues?: boolean | undefined;
  /** After so many new tokens, stop tokens gain this factor per token. */
  readonly exponentialDecayLengthPenalty?: readonly [start: number, factor: number] | undefined;
  /** Tokens that are never chosen. */
  readonly suppressTokens?: readonly number[] | undefined;
  /** Tokens that are not chosen first. */
  readonly beginSuppressTokens?: readonly number[] | undefined;
  readonly stopTokens?: ReadonlySet<number> | undefined;
}

/** The text that a token is chosen for, as far back as a session remembers it: repeatLastN tokens. */
export interface History {
  /** A ring: the token at position p is in slot p mod length. −1: none. */
  readonly recent: Int32Array;
  /** Position of the token that is chosen. */
  readonly position: number;
  /** Tokens of the text before it. */
  readonly length: number;
  /** Those of them that were chosen since the generation started; the others are its prompt. */
  readonly newTokens: number;
}

const LARGEST = 3.4028234663852886e38;

/** Buffers are made once, as large as the vocabulary and the history. Ids that the model does not have are ignored. */
export class Processors {
  readonly #seen: Uint32Array;
  #round = 0;
  #text = new Int32Array(0);

  constructor(vocabSize: number) {
    this.#seen = new Uint32Array(vocabSize);
  }

  /**
   * Changes scores f32[vocab] in place, in f32 arithmetic as there; false: none. see: HF
   * GenerationMixin._get_logits_processor, whose order this is, and the LogitsProcessors that it names
   */
  apply(scores: Float32Array, processing: Processing, history: History): boolean {
    const { sequenceBias, encoderRepetitionPenalty: reward, repetitionPenalty: penalty, badWordsIds } = processing;
    const { noRepeatNgramSize, encoderNoRepeatNgramSize } = processing;
    const looksBack =
      sequenceBias || reward || penalty !== 1 || noRepeatNgramSize || encoderNoRepeatNgramSize || badWordsIds;
    if (looksBack) {
      const text = this.#unroll(history);
      const prompt = text.subarray(0, Math.max(0, text.length - history.newTokens));
      if (sequenceBias) this.#addBias(scores, sequenceBias, text);
      if (reward) this.#penalise(scores, 1 / reward, prompt);
      if (penalty !== 1) this.#penalise(scores, penalty, text);
      if (noRepeatNgramSize) forbidNgrams(scores, noRepeatNgramSize, text, text);
      if (encoderNoRepeatNgramSize) forbidNgrams(scores, encoderNoRepeatNgramSize, text, prompt);
      if (badWordsIds) for (const word of badWordsIds) if (isNext(word, text)) forbid(scores, word.slice(-1));
    }
    return shapeLength(scores, processing, history) || Boolean(looksBack);
  }

  /** The tokens of the history, oldest first. */
  #unroll({ recent, position, length }: History): Int32Array {
    if (this.#text.length < recent.length) this.#text = new Int32Array(recent.length);
    const text = this.#text.subarray(0, Math.min(length, recent.length));
    const first = position - text.length;
    for (let i = 0; i < text.length; i++) text[i] = recent[(first + i) % recent.length] as number;
    return text;
  }

  /** see: HF SequenceBiasLogitsProcessor */
  #addBias(scores: Float32Array, biases: NonNullable<Processing["sequenceBias"]>, text: Int32Array): void {
    const sums = new Map<number, number>();
    for (const [sequence, bias] of biases) {
      const last = sequence.at(-1) as number;
      if (isNext(sequence, text)) sums.set(last, Math.fround((sums.get(last) ?? 0) + Math.fround(bias)));
    }
    for (const [id, sum] of sums) if (id in scores) scores[id] = (scores[id] as number) + sum;
  }

  /** see: HF RepetitionPenaltyLogitsProcessor, EncoderRepetitionPenaltyLogitsProcessor */
  #penalise(scores: Float32Array, penalty: number, tokens: Int32Array): void {
    const factor = Math.fround(penalty);
    this.#round++;
    for (const id of tokens) {
      if (id < 0 || this.#seen[id] === this.#round) continue;
      this.#seen[id] = this.#round;
      const score = scores[id] as number;
      scores[id] = score < 0 ? score * factor : score / factor;
    }
  }
}

/** Whether the text ends with all tokens of a sequence but the last. */
function isNext(sequence: readonly number[], text: Int32Array): boolean {
  const start = text.length - (sequence.length - 1);
  if (start < 0) return false;
  for (let i = 0; i < sequence.length - 1; i++) if (sequence[i] !== text[start + i]) return false;
  return true;
}

/** Forbids what would repeat n tokens of `known`. see: HF NoRepeatNGramLogitsProcessor, EncoderNoRepeatNGramLogitsProcessor */
function forbidNgrams(scores: Float32Array, n: number, text: Int32Array, known: Int32Array): void {
  const start = text.length - (n - 1);
  if (start < 0) return;
  for (let i = 0; i + n <= known.length; i++) {
    let same = 0;
    while (same < n - 1 && known[i + same] === text[start + same]) same++;
    if (same === n - 1) scores[known[i + same] as number] = -Infinity;
  }
}

/**
 * What depends on how long the text is; whether anything changed. see: HF MinLengthLogitsProcessor,
 * MinNewTokensLengthLogitsProcessor, ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor,
 * InfNanRemoveLogitsProcessor, ExponentialDecayLengthPenalty, SuppressTokensLogitsProcessor,
 * SuppressTokensAtBeginLogitsProcessor
 */
function shapeLength(scores: Float32Array, processing: Processing, { length, newTokens }: History): boolean {
  const { minLength = 0, minNewTokens = 0, maxNewTokens = Infinity, stopTokens = [] } = processing;
  const { forcedBosTokenId, forcedEosTokenId, exponentialDecayLengthPenalty: decay } = processing;
  const { suppressTokens, beginSuppressTokens } = processing;
  const early = length < minLength || newTokens < minNewTokens;
  const opens = forcedBosTokenId !== undefined && length === 1;
  const closes = forcedEosTokenId !== undefined && newTokens === maxNewTokens - 1;
  const decays = decay !== undefined && newTokens > decay[0];
  // Where the start of the text is forced, what follows it is the first that is chosen.
  const begins = newTokens === (length - newTokens > 1 || forcedBosTokenId === undefined ? 0 : 1);
  if (early) forbid(scores, stopTokens);
  if (opens) allowOnly(scores, [forcedBosTokenId]);
  if (closes) allowOnly(scores, forcedEosTokenId);
  if (processing.removeInvalidValues) makeFinite(scores);
  if (decays) favour(scores, stopTokens, decay[1], newTokens - decay[0]);
  if (suppressTokens) forbid(scores, suppressTokens);
  if (begins && beginSuppressTokens) forbid(scores, beginSuppressTokens);
  const always = processing.removeInvalidValues || suppressTokens;
  return early || opens || closes || decays || Boolean(always || (begins && beginSuppressTokens));
}

function forbid(scores: Float32Array, ids: Iterable<number>): void {
  for (const id of ids) if (id in scores) scores[id] = -Infinity;
}

function allowOnly(scores: Float32Array, ids: Iterable<number>): void {
  scores.fill(-Infinity);
  for (const id of ids) if (id in scores) scores[id] = 0;
}

function makeFinite(scores: Float32Array): void {
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number;
    scores[id] = Number.isNaN(score) ? 0 : Math.max(-LARGEST, Math.min(LARGEST, score));
  }
}

/** Adds to each finite score its size times factor^steps − 1. */
function favour(scores: Float32Array, ids: Iterable<number>, factor: number, steps: number): void {
  const gain = Math.fround(Math.max(-LARGEST, Math.min(LARGEST, power(factor, steps) - 1)));
  for (const id of ids) {
    const score = scores[id];
    if (score === undefined || !Number.isFinite(score)) continue;
    scores[id] = Math.max(-LARGEST, Math.min(LARGEST, score + Math.fround(Math.abs(score) * gain)));
  }
}

/** base^n for a whole n ≥ 0; Math.pow differs between engines. */
function power(base: number, n: number): number {
  let product = 1;
  for (let square = base, rest = n; rest > 0; rest = Math.floor(rest / 2), square *= square) {
    if (rest % 2 === 1) product *= square;
  }
  return product;
}
