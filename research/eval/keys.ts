/**
 * The paper's Fig. 2, measured: which keys a query far into a text meets, and at which distances.
 *
 * In the first layer queries and keys depend on their tokens and positions alone. So the logits of the last query under
 * Λ must be those of the same pairs of tokens in short texts under full attention: a pinned key's at distance `limit`,
 * a local key's at its own.
 */

import { mismatch } from "../../src/base/errors.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { observe } from "../../src/engine/observe.ts";
import { headsOf } from "../../src/models/program.ts";
import type { PlanningOptions } from "../../src/plan/plan_checkpoint.ts";
import type { Policy } from "../../src/plan/policy.ts";
import { attends } from "./diagnose.ts";

export interface FoundKeys {
  /** For the last query: its position, and the keys of the first layer's first head that it met. */
  readonly position: number;
  readonly attended: number;
  /** nGlobal + nLocal of this layer. */
  readonly expected: number;
  /** Keys of any head that were met and should not be, or the reverse. */
  readonly wrong: number;
  /**
   * The largest difference of a logit of any head from that of the short text, relative to the head's largest logit.
   */
  readonly pinnedDifference: number;
  readonly localDifference: number;
  /** Whether all keys are right and no difference exceeds TOLERANCE. */
  readonly holds: boolean;
}

/** f32 rounding of a rotation at other positions gives about 1e-6; a wrong distance about 1e-1. */
const TOLERANCE = 1e-4;

/** Loads the model with these options in place of others; one engine is used at a time. */
export type Loading = (options: PlanningOptions) => Promise<Engine>;

/**
 * Reads a text of `ids`, again and again if it is too short, so far that every pinned key is beyond the ceiling twice.
 * `first` is what `policy` is to the first layer: one that was trained with a window among others without keeps it.
 */
export async function measureKeys(
  load: Loading,
  ids: readonly number[],
  policy: Policy,
  first: Policy,
  signal?: AbortSignal,
): Promise<FoundKeys> {
  if (policy.attention !== "lambda") throw new RangeError(mismatch("policy", "lambda", policy.attention));
  const { nGlobal, nLocal, limit } = policy;
  const farthest = first.limit < Infinity ? first.limit : first.nLocal;
  const length = 2 * farthest + first.nLocal + first.nGlobal;
  const text = Array.from({ length }, (_, i) => ids[i % ids.length] as number);
  const observing = (span: number) => ({ observe: { attention: { span, sinks: 0 } }, cacheDtype: "f32" as const });
  const lambda = { attention: "lambda" as const, nGlobal, nLocal, limit };
  const found = await lastLogits(await load({ ...lambda, ...observing(length) }), text, signal);
  const short = shortTexts(first, text);
  const maxPositions = Math.max(first.nLocal, short.pinned.length);
  const full = await load({ attention: "full", maxPositions, ...observing(Math.max(first.nLocal, farthest + 1)) });
  const pinned = await pinnedLogits(full, short.pinned, first, signal);
  const local = await lastLogits(full, short.local, signal);
  return compare(first, length - 1, headsOf(full.program, 0), found, pinned, local);
}

/**
 * The pairs of the text's last token with its pinned ones, at distance `limit`, and the text's end. As many of the
 * former as fit in `limit` at once: pinned tokens, others up to the limit, then the last token as many times.
 */
export function shortTexts({ nGlobal, nLocal, limit }: Policy, text: readonly number[]) {
  const last = text.at(-1) as number;
  const pinned: number[] = [];
  for (let j = 0; j < nGlobal; j += limit) {
    const keys = text.slice(j, Math.min(nGlobal, j + limit));
    pinned.push(...keys, ...text.slice(nGlobal, nGlobal + limit - keys.length), ...keys.map(() => last));
  }
  return { pinned, local: text.slice(-nLocal) };
}

/** The first layer's logits f32[heads, span] of a text's last query, by distance. */
async function lastLogits(engine: Engine, text: readonly number[], signal?: AbortSignal): Promise<Float32Array> {
  let logits: Float32Array = new Float32Array();
  const session = engine.open();
  try {
    await observe(
      engine,
      session,
      text,
      (step) => {
        logits = step.logits(0);
      },
      signal,
    );
  } finally {
    engine.dispose(session);
  }
  return logits;
}

/** By pinned key f32[heads]: its logit at distance `limit`. */
async function pinnedLogits(
  engine: Engine,
  text: readonly number[],
  { nGlobal, limit }: Policy,
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const heads = headsOf(engine.program, 0);
  const found: Float32Array[] = [];
  const session = engine.open();
  try {
    for (let at = 0; found.length < nGlobal; ) {
      const keys = Math.min(limit, nGlobal - found.length);
      await engine.append(session, text.slice(at, at + limit), signal);
      for (let i = 0; i < keys; i++) {
        await observe(
          engine,
          session,
          text.slice(at + limit + i, at + limit + i + 1),
          (step) => {
            const logits = step.logits(0);
            const span = logits.length / heads;
            found.push(Float32Array.from({ length: heads }, (_, head) => logits[head * span + limit] as number));
          },
          signal,
        );
      }
      at += limit + keys;
    }
  } finally {
    engine.dispose(session);
  }
  return found;
}

function compare(
  policy: Policy,
  position: number,
  heads: number,
  found: Float32Array,
  pinned: readonly Float32Array[],
  local: Float32Array,
): FoundKeys {
  const { nGlobal, nLocal } = policy;
  const span = found.length / heads;
  const localSpan = local.length / heads;
  let [attended, wrong, pinnedDifference, localDifference] = [0, 0, 0, 0];
  for (let head = 0; head < heads; head++) {
    const of = (d: number) => found[head * span + d] as number;
    const wanted = (d: number) =>
      d < nLocal ? (local[head * localSpan + d] as number) : (pinned[position - d]?.[head] as number);
    let largest = 0;
    for (let d = 0; d <= position; d++)
      if (attends(policy, position, d)) largest = Math.max(largest, Math.abs(wanted(d)));
    for (let d = 0; d <= position; d++) {
      const meets = !Number.isNaN(of(d));
      if (meets && head === 0) attended++;
      if (meets !== attends(policy, position, d)) wrong++;
      else if (meets) {
        const difference = Math.abs(of(d) - wanted(d)) / largest;
        if (d < nLocal) localDifference = Math.max(localDifference, difference);
        else pinnedDifference = Math.max(pinnedDifference, difference);
      }
    }
  }
  const holds = wrong === 0 && pinnedDifference <= TOLERANCE && localDifference <= TOLERANCE;
  const expected = nGlobal + nLocal;
  return { position, attended, expected, wrong, pinnedDifference, localDifference, holds };
}
