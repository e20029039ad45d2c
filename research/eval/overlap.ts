/**
 * How much of a true continuation is in a generated one: BLEU (Papineni et al. 2002) and ROUGE-L (Lin 2004), with the
 * results of sacrebleu 2.6.0 and rouge-score 0.1.2 for the same strings.
 */
import { mismatch } from "../../src/base/errors.ts";
import { exp, log } from "../../src/base/math.ts";

/** The longest n-gram that BLEU counts. */
const ORDERS = 4;

/** The counts that BLEU is computed from; of several pairs their sums. */
export interface Bleu {
  /** 0 to 100 */
  readonly score: number;
  /** [4] n-grams of the hypotheses that are in their references too, and all of them, for n = 1 … 4. */
  readonly counts: readonly number[];
  readonly totals: readonly number[];
  /** Lengths in tokens. */
  readonly hypothesisLength: number;
  readonly referenceLength: number;
}

/** From 0 to 1. */
export interface Rouge {
  readonly precision: number;
  readonly recall: number;
  readonly fmeasure: number;
}

/** BLEU of pairs taken together, with one reference each. see: sacrebleu.corpus_bleu and its defaults */
export function corpusBleu(hypotheses: readonly string[], references: readonly string[]): Bleu {
  checkPairs(hypotheses, references);
  const counts = new Array<number>(ORDERS).fill(0);
  const totals = new Array<number>(ORDERS).fill(0);
  let hypothesisLength = 0;
  let referenceLength = 0;
  hypotheses.forEach((hypothesis, i) => {
    const found = tokenize13a(hypothesis);
    const wanted = tokenize13a(references[i] as string);
    hypothesisLength += found.length;
    referenceLength += wanted.length;
    for (let n = 1; n <= ORDERS; n++) {
      const left = ngrams(wanted, n);
      for (const [ngram, count] of ngrams(found, n)) {
        (totals[n - 1] as number) += count;
        (counts[n - 1] as number) += Math.min(count, left.get(ngram) ?? 0);
      }
    }
  });
  const brevity = hypothesisLength < referenceLength ? exp(1 - referenceLength / hypothesisLength) : 1;
  const score = brevity * meanPrecision(counts, totals);
  return { score, counts, totals, hypothesisLength, referenceLength };
}

/** ROUGE-L of one pair. see: rouge_scorer.RougeScorer(["rougeL"]) */
export function rougeL(hypothesis: string, reference: string): Rouge {
  const found = words(hypothesis);
  const wanted = words(reference);
  const common = longestCommonSubsequence(found, wanted);
  if (common === 0) return { precision: 0, recall: 0, fmeasure: 0 };
  const precision = common / found.length;
  const recall = common / wanted.length;
  return { precision, recall, fmeasure: (2 * precision * recall) / (precision + recall) };
}

function checkPairs(hypotheses: readonly string[], references: readonly string[]): void {
  if (hypotheses.length === 0) throw new RangeError(mismatch("hypotheses", "one or more", "none"));
  if (hypotheses.length !== references.length) {
    throw new RangeError(mismatch("references", `${hypotheses.length}, one per hypothesis`, references.length));
  }
}

/**
 * The geometric mean of the precisions, 0 to 100; an order without a match counts half a match, the next a quarter, …
 */
function meanPrecision(counts: readonly number[], totals: readonly number[]): number {
  if (counts.every((count) => count === 0) || totals.includes(0)) return 0;
  let smoothing = 1;
  let sum = 0;
  for (let n = 0; n < ORDERS; n++) {
    const count = counts[n] as number;
    sum += log((100 * (count || 1 / (smoothing *= 2))) / (totals[n] as number));
  }
  return exp(sum / ORDERS);
}

/** The counts of all n-grams; tokens contain no spaces. */
function ngrams(tokens: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= tokens.length; i++) {
    const ngram = tokens.slice(i, i + n).join(" ");
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1);
  }
  return counts;
}

/** Python's white space; \s also has U+FEFF, and lacks U+001C to U+001F and U+0085. */
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const SPACES = new RegExp(`${SPACE}+`, "u");
const SPACES_AT_END = new RegExp(`(?<!${SPACE})${SPACE}+$`, "u");

/** Tokens of mteval-v13a. see: sacrebleu/tokenizers/tokenizer_13a.py, tokenizer_re.py */
export function tokenize13a(text: string): string[] {
  return ` ${text
    .replace(SPACES_AT_END, "")
    .replaceAll("<skipped>", "")
    .replaceAll("-\n", "")
    .replaceAll("\n", " ")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")} `
    .replace(/[{-~[-` -&(-+:-@/]/gu, " $& ")
    .replace(/([^0-9])([.,])/gu, "$1 $2 ")
    .replace(/([.,])([^0-9])/gu, " $1 $2")
    .replace(/([0-9])(-)/gu, "$1 $2 ")
    .split(SPACES)
    .filter((token) => token !== "");
}

/** see: rouge_score/tokenize.py */
const words = (text: string): string[] => text.toLowerCase().match(/[a-z0-9]+/g) ?? [];

/** Takes time a · b and memory a + b. */
function longestCommonSubsequence(a: readonly string[], b: readonly string[]): number {
  const ids = new Map<string, number>();
  const idOf = (word: string): number => {
    if (!ids.has(word)) ids.set(word, ids.size);
    return ids.get(word) as number;
  };
  const columns = Uint32Array.from(b, idOf);
  let above = new Uint32Array(b.length + 1);
  let row = new Uint32Array(b.length + 1);
  for (const word of a) {
    const id = idOf(word);
    for (let j = 0; j < columns.length; j++) {
      row[j + 1] = columns[j] === id ? (above[j] as number) + 1 : Math.max(above[j + 1] as number, row[j] as number);
    }
    [above, row] = [row, above];
  }
  return above[b.length] as number;
}
