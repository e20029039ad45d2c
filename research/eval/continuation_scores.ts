/** Scores of continuations of several documents. */
import { corpusBleu, rougeL } from "./overlap.ts";
import { bootstrapMean, type Interval } from "./statistics.ts";

/** One document's continuation as text, and its cost. */
export interface ScoredContinuation {
  readonly text: string;
  readonly truth: string;
  /** Mean NLL of the true tokens in nats; NaN propagates. */
  readonly nll: number;
  /** FLOP of all its tokens. */
  readonly flops: number;
  readonly seconds: number;
}

/** Of one system at one length, over documents. */
export interface Score {
  readonly documents: number;
  /** 0 to 100, over all documents together. see: corpusBleu */
  readonly bleu: number;
  /** F1, 0 to 100, mean over documents. */
  readonly rougeL: Interval;
  /** Nats per token, mean over documents. */
  readonly nll: Interval;
  /** Mean per generated token. */
  readonly flops: number;
  readonly seconds: number;
}

/** Scores one system's continuations of `count` tokens, one per document; intervals are bootstrapped from `seed`. */
export function scoreOf(found: readonly ScoredContinuation[], count: number, seed: number): Score {
  const texts = found.map(({ text }) => text);
  const truths = found.map(({ truth }) => truth);
  const perToken = (key: "flops" | "seconds") =>
    found.reduce((sum, continuation) => sum + continuation[key], 0) / (found.length * count);
  return {
    documents: found.length,
    bleu: corpusBleu(texts, truths).score,
    rougeL: bootstrapMean(
      found.map(({ text, truth }) => 100 * rougeL(text, truth).fmeasure),
      { seed },
    ),
    nll: bootstrapMean(
      found.map(({ nll }) => nll),
      { seed },
    ),
    flops: perToken("flops"),
    seconds: perToken("seconds"),
  };
}

/** The system with the least cost per token among those whose NLL is no worse; undefined if there is none. */
export function cheapestAsGood<T extends Pick<Score, "nll" | "flops">>(
  systems: readonly T[],
  nll: number,
): T | undefined {
  return systems.filter((system) => system.nll.value <= nll).sort((a, b) => a.flops - b.flops)[0];
}
