/**
 * Continuations of a text by a model, compared with the true ones (the paper's Tables 2 and 3), and what a token costs
 * under Λ-attention and under re-truncation (its Fig. 6).
 */

import { mismatch, OptionError } from "../../src/base/errors.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { GREEDY, logSumExp } from "../../src/engine/sampler.ts";
import { flopsOf } from "./cost.ts";

/** The tokens after a context, chosen greedily; stop tokens do not end them. */
export interface Continuation {
  /** Tokens of the context, BOS included. */
  readonly length: number;
  /** [count] */
  readonly ids: readonly number[];
  /** NLL of the true continuation's tokens, each given the true ones before it: mean in nats. */
  readonly nll: number;
  /** The cost of choosing `ids`, from the context's last token on, including re-reading under re-truncation. */
  readonly flops: number;
  readonly seconds: number;
}

/** How a long reading is reported and aborted. */
export interface Watch {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of tokens of the context read, or of the continuation predicted, since the last call. */
  readonly onTokens?: ((count: number) => void) | undefined;
}

/** Chunks of a context that are read between two calls of onTokens. */
const CHUNKS = 16;

/** Under re-truncation every token is predicted from at most `window` tokens, BOS included. */
export interface Retruncation {
  readonly window: number;
  /** Tokens that are predicted between two re-readings; 1: every token is predicted from a re-read window. */
  readonly stride: number;
}

/**
 * The `count` tokens after the first `length` of `ids`, for every one of `lengths`, in ascending order. The text is
 * read once: at each length one fork generates, and another reads the true continuation. Needs two session slots, and
 * under policies with maxPositions the last length plus `count`.
 */
export async function* continuations(
  engine: Engine,
  ids: readonly number[],
  lengths: readonly number[],
  count: number,
  { signal, onTokens }: Watch = {},
): AsyncGenerator<Continuation, void, undefined> {
  for (const length of lengths) checkSpan(ids, length, count);
  const session = engine.open(0, 0);
  try {
    let read = 0;
    for (const length of [...lengths].sort((a, b) => a - b)) {
      // The context's last token is read by the continuation: its logits choose the first token.
      while (read < length - 1) {
        const piece = ids.slice(read, Math.min(read + CHUNKS * engine.plan.options.chunkSize, length - 1));
        await engine.append(session, piece, signal);
        read += piece.length;
        onTokens?.(piece.length);
      }
      const begun = performance.now();
      const chosen = await forked(engine, session, (id) => choose(engine, id, ids.slice(read, length), count, signal));
      const seconds = (performance.now() - begun) / 1000;
      const truth = ids.slice(read, length + count);
      const nlls = await forked(engine, session, (id) => nllsOf(engine, id, truth, signal));
      onTokens?.(count);
      const flops = flopsOf(engine.plan, { begin: read, end: read + count, logits: count });
      yield { length, ids: chosen, nll: mean(nlls), flops, seconds };
    }
  } finally {
    engine.dispose(session);
  }
}

/**
 * A part of a text that is predicted from one window: tokens `first` to before `end`, after BOS and the tokens from
 * `begin` on.
 */
export interface Window {
  readonly begin: number;
  readonly first: number;
  readonly end: number;
}

/**
 * The windows of `count` tokens after `length`. While the text is no longer than `window`, all of it is in the window
 * and nothing is re-read. Then the last `window − stride + 1` tokens, `bosTokens` of BOS among them, are read into an
 * empty cache, and `stride` tokens are predicted until it contains `window` again.
 */
export function windowsOf(
  length: number,
  count: number,
  { window, stride }: Retruncation,
  bosTokens: 0 | 1,
): readonly Window[] {
  if (!(Number.isInteger(stride) && stride >= 1 && stride < window)) {
    throw new OptionError(mismatch("stride", `a whole number from 1 to below the window (${window})`, stride));
  }
  const windows: Window[] = [];
  const end = length + count;
  for (let first = length; first < end; ) {
    const whole = first <= window;
    const begin = whole ? bosTokens : first - (window - stride + 1 - bosTokens);
    const next = Math.min(end, whole ? window + 1 : first + stride);
    windows.push({ begin, first, end: next });
    first = next;
  }
  return windows;
}

/**
 * The `count` tokens after the first `length` of `ids`, after BOS if `bosTokens` is 1, by re-truncation. The engine has
 * full attention, and maxPositions of at least the window.
 */
export async function retruncated(
  engine: Engine,
  ids: readonly number[],
  length: number,
  count: number,
  retruncation: Retruncation,
  bosTokens: 0 | 1,
  { signal, onTokens }: Watch = {},
): Promise<Continuation> {
  checkSpan(ids, length, count);
  const windows = windowsOf(length, count, retruncation, bosTokens);
  const contextOf = (text: readonly number[], { begin, first }: Window): number[] => [
    ...text.slice(0, bosTokens),
    ...text.slice(begin, first),
  ];
  const text = ids.slice(0, length);
  let flops = 0;
  const begun = performance.now();
  for (const window of windows) {
    const { first, end } = window;
    const context = contextOf(text, window);
    text.push(...(await fresh(engine, (id) => choose(engine, id, context, end - first, signal))));
    onTokens?.(end - first);
    flops += flopsOf(engine.plan, { begin: 0, end: context.length, logits: 1 });
    flops += flopsOf(engine.plan, {
      begin: context.length,
      end: context.length + end - first - 1,
      logits: end - first - 1,
    });
  }
  const seconds = (performance.now() - begun) / 1000;
  const nlls: number[] = [];
  for (const window of windows) {
    const context = contextOf(ids, window);
    const truth = [context.at(-1) as number, ...ids.slice(window.first, window.end)];
    const found = await fresh(engine, async (id) => {
      await engine.append(id, context.slice(0, -1), signal);
      return nllsOf(engine, id, truth, signal);
    });
    nlls.push(...found);
  }
  return { length, ids: text.slice(length), nll: mean(nlls), flops, seconds };
}

function checkSpan(ids: readonly number[], length: number, count: number): void {
  if (!(Number.isInteger(length) && length >= 1)) {
    throw new OptionError(mismatch("length", "a whole number of tokens from 1 on", length));
  }
  if (!(Number.isInteger(count) && count >= 1)) {
    throw new OptionError(mismatch("new tokens", "a whole number from 1 on", count));
  }
  if (ids.length >= length + count) return;
  throw new OptionError(mismatch("document", `at least ${length} tokens and ${count} that follow`, ids.length));
}

/** The `count` most likely tokens after `tokens`, chosen one by one; the last one is not read. */
async function choose(
  engine: Engine,
  id: number,
  tokens: readonly number[],
  count: number,
  signal?: AbortSignal,
): Promise<number[]> {
  await engine.append(id, tokens, signal);
  const chosen: number[] = [];
  while (chosen.length < count) {
    signal?.throwIfAborted();
    chosen.push((await engine.next(id, GREEDY)).id);
  }
  return chosen;
}

/** NLL in nats of every one of `tokens` but the first. */
async function nllsOf(engine: Engine, id: number, tokens: readonly number[], signal?: AbortSignal): Promise<number[]> {
  const nlls: number[] = [];
  const onLogits = (logits: Float32Array) => {
    nlls.push(logSumExp(logits) - (logits[tokens[nlls.length + 1] as number] as number));
  };
  await engine.forward(id, tokens.slice(0, -1), onLogits, signal);
  return nlls;
}

async function forked<T>(engine: Engine, session: number, work: (id: number) => Promise<T>): Promise<T> {
  return closing(engine, engine.fork(session), work);
}

async function fresh<T>(engine: Engine, work: (id: number) => Promise<T>): Promise<T> {
  return closing(engine, engine.open(0, 0), work);
}

async function closing<T>(engine: Engine, id: number, work: (id: number) => Promise<T>): Promise<T> {
  try {
    return await work(id);
  } finally {
    engine.dispose(id);
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
