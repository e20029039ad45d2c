import type { Engine } from "../../src/engine/engine.ts";
import { score } from "../../src/engine/score.ts";
import { hold } from "../../src/engine/state.ts";
import { POLICIES, type PolicyName } from "../../src/plan/policy.ts";

/**
 * Ways to read a text that is longer than a model's context: the attention policies, and `retruncation`, which reads
 * every stretch of text anew with as much context as fits the trained length (paper, Fig. 6; the reference for
 * comparison).
 */
export const READINGS = [...POLICIES, "retruncation"] as const;
export type Reading = PolicyName | "retruncation";

/** Receives NLLs in nats per token as they are computed, of consecutive tokens. NaN where a logit was not finite. */
export type OnNll = (nll: Float32Array) => void | Promise<void>;

/** Positions that are scored, from `from` to before `to`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Tokens of a span, where not all positions are scored. */
const SPAN = 1024;

/** What is scored of a text of `length` tokens from position `from` on: all, or of every `every` spans of 1,024 tokens the last. */
export function spansOf(from: number, length: number, every = 1): Span[] {
  if (every === 1) return [{ from, to: length }];
  const spans: Span[] = [];
  for (let to = length; to > from; to -= every * SPAN) spans.unshift({ from: Math.max(from, to - SPAN), to });
  return spans;
}

/** How many tokens of spans are from position `from` to before `to`. */
export function countIn(spans: readonly Span[], from: number, to: number): number {
  return spans.reduce((sum, span) => sum + Math.max(0, Math.min(to, span.to) - Math.max(from, span.from)), 0);
}

/** All positions of spans. */
export function positionsOf(spans: readonly Span[]): Uint32Array {
  return Uint32Array.from(spans.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)));
}

/**
 * The NLL of every token of a document's spans, given all tokens before it. Spans are in ascending order, from position 1 on, with
 * tokens between them.
 */
export async function scoreDocument(
  engine: Engine,
  ids: readonly number[],
  spans: readonly Span[],
  onNll: OnNll,
  signal?: AbortSignal,
): Promise<void> {
  const session = engine.open(0, 0);
  try {
    let next = 0;
    for (const { from, to } of spans) {
      // Context wants no logits, which may not be finite.
      await engine.read(session, ids.slice(next, from - 1), { wants: () => false }, signal);
      hold(engine.state(session), ids[from - 1] as number);
      await score(engine, session, ids.slice(from, to), onNll, signal);
      next = to;
    }
  } finally {
    engine.dispose(session);
  }
}

export interface Retruncation {
  /** Tokens per window, BOS included: the trained length. */
  readonly window: number;
  /** Tokens between the starts of two windows. */
  readonly stride: number;
}

/**
 * The same under re-truncation (from: 1 or more). Windows start at tokens 0, stride, 2 · stride …; each is read into an
 * empty cache, with BOS in place of its first token. The first window scores all of its tokens, later ones their last
 * `stride`, so that every token after the first window has from window − stride to window − 1 tokens of context, BOS
 * included. `engine`: one with full attention.
 */
export async function scoreRetruncated(
  engine: Engine,
  ids: readonly number[],
  bos: number | undefined,
  { window, stride }: Retruncation,
  from: number,
  onNll: OnNll,
  signal?: AbortSignal,
): Promise<void> {
  const first = Math.max(0, Math.floor((from - window) / stride) + 1) * stride;
  for (let begin = first; begin === first || begin + window - stride < ids.length; begin += stride) {
    const tokens = ids.slice(begin, begin + window);
    if (begin > 0 && bos !== undefined) tokens[0] = bos;
    // Tokens that the window before has scored, or that are not wanted, are context.
    const context = Math.max(begin === 0 ? 1 : window - stride, from - begin);
    await scoreDocument(engine, tokens, spansOf(context, tokens.length), onNll, signal);
  }
}

/** The result between two positions. */
export interface Stretch {
  /** Nats per token; NaN if one of them is, or if there are none. */
  readonly mean: number;
  readonly tokens: number;
  /** Tokens whose NLL is not a number. */
  readonly nan: number;
}

/** Running sums of NLLs by band: band i is from position edges[i] to before edges[i + 1]. */
export class Bands {
  readonly #edges: readonly number[];
  readonly #spans: readonly Span[];
  readonly counts: number[];
  readonly sums: number[];
  readonly nans: number[];
  #span = 0;
  #position: number;
  #band = 0;

  /** `edges`: ascending, from the first position on; `spans`: the positions of the tokens that are added. */
  constructor(edges: readonly number[], spans: readonly Span[]) {
    this.#edges = edges;
    this.#spans = spans;
    this.counts = edges.slice(1).map((to, i) => countIn(spans, edges[i] as number, to));
    this.sums = Array(edges.length - 1).fill(0);
    this.nans = Array(edges.length - 1).fill(0);
    this.#position = spans[0]?.from as number;
  }

  /** Adds the NLLs of the next tokens. */
  add(nll: Float32Array): void {
    for (const value of nll) {
      if (this.#position === this.#spans[this.#span]?.to) this.#position = this.#spans[++this.#span]?.from as number;
      while (this.#position >= (this.#edges[this.#band + 1] as number)) this.#band++;
      if (Number.isFinite(value)) (this.sums[this.#band] as number) += value;
      else (this.nans[this.#band] as number)++;
      this.#position++;
    }
  }
}

/** What is known of a document by band: tokens that were scored, the sum of their NLLs, how many of these are not numbers. */
export type BandSums = Readonly<Record<"counts" | "sums" | "nans", readonly number[]>>;

/** The mean between two edges, over one document or several. */
export function between(documents: readonly BandSums[], edges: readonly number[], from: number, to: number): Stretch {
  const begin = edges.indexOf(from);
  const end = edges.indexOf(to);
  const add = (of: keyof BandSums) =>
    documents.flatMap((document) => document[of].slice(begin, end)).reduce((sum, value) => sum + value, 0);
  const [tokens, nan] = [add("counts"), add("nans")];
  return { mean: nan > 0 || tokens === 0 ? Number.NaN : add("sums") / tokens, tokens, nan };
}

/**
 * Start of the stretch at the end of a text of `length` tokens whose NLL is reported: its last 1,024 tokens, the last
 * half of a short text; not before `from`.
 */
export function tailOf(from: number, length: number): number {
  return Math.max(from, length - Math.min(1024, Math.floor(length / 2)));
}

/**
 * The edges of the bands of a document from position `from` to before `length`, including those of the texts of
 * `lengths` and of their ends.
 */
export function edgesOf(from: number, length: number, lengths: readonly number[]): number[] {
  const edges = new Set([from, 64, 256, length, tailOf(from, length)]);
  for (let edge = 512; edge < length; edge *= 2) edges.add(edge);
  for (const n of lengths) edges.add(n).add(tailOf(from, n));
  return [...edges].filter((edge) => edge >= from && edge <= length).sort((a, b) => a - b);
}
