import { Op, Span } from "../../assembly/op.ts";
import type { Plan, PlannedLayer } from "../../src/plan/plan.ts";
import type { Policy } from "../../src/plan/policy.ts";

/**
 * Rows that a session reads: positions from `begin` to before `end`, relative to its first; `logits` of them want
 * logits.
 */
export interface Reading {
  readonly begin: number;
  readonly end: number;
  readonly logits: number;
}

/** Keys that the query at `position` attends to, itself included. */
export function keysAttended({ nGlobal, nLocal }: Policy, position: number): number {
  const keys = position + 1;
  return Math.min(keys, nLocal) + Math.min(nGlobal, Math.max(0, keys - nLocal));
}

/**
 * Floating-point operations of a reading: for every record its `flops` per row that it works on, the head's only for
 * rows that want logits. Attention's, which the plan counts for a full window, are scaled to the keys that each query
 * attends to: a multiply and an add per number of `heads · headDim` for its logit, and as many for its value.
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

/** The keys that queries from `begin` to before `end` attend to, in full windows of the layer. */
function windowsOf({ policy, cache }: PlannedLayer, begin: number, end: number): number {
  let keys = 0;
  for (let position = begin; position < end; position++) keys += keysAttended(policy, position);
  return keys / (cache.pinned + cache.ring);
}
