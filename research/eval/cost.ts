import { Op, Span } from "../../assembly/op.ts";
import type { Plan, PlannedLayer } from "../../src/plan/plan.ts";
import type { Policy } from "../../src/plan/policy.ts";

/** Rows that a session reads: positions from `begin` to before `end`, counted from its first; `logits` of them want logits. */
export interface Reading {
  readonly begin: number;
  readonly end: number;
  readonly logits: number;
}

/** Keys that the query at `position` attends, itself included. */
export function keysAttended({ nGlobal, nLocal }: Policy, position: number): number {
  const keys = position + 1;
  return Math.min(keys, nLocal) + Math.min(nGlobal, Math.max(0, keys - nLocal));
}

/**
 * Floating-point operations of a reading: of every record its `flops` for each row it works on, the head's only for rows
 * that want logits; attention's, which the plan counts for a full window, for the keys that each query attends: of
 * `heads · headDim` numbers a product and a sum for its logit, and as many for its value.
 */
export function flopsOf({ records, layers }: Plan, { begin, end, logits }: Reading): number {
  const attending = layers.filter(({ cache }) => cache.ring > 0);
  let sum = 0;
  for (const { op, words, flops } of records.flat()) {
    const rows = ((words[1] as number) & ~Span.OnTheSide) === Span.Logits ? logits : end - begin;
    sum += flops * (op === Op.Attention ? windowsOf(attending.shift() as PlannedLayer, begin, end) : rows);
  }
  return sum;
}

/** How many full windows of a layer the keys are that queries from `begin` to before `end` attend. */
function windowsOf({ policy, cache }: PlannedLayer, begin: number, end: number): number {
  let keys = 0;
  for (let position = begin; position < end; position++) keys += keysAttended(policy, position);
  return keys / (cache.pinned + cache.ring);
}
