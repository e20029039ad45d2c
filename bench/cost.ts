import { Op } from "../assembly/op.ts";
import type { CacheLayout } from "../src/plan/cache.ts";
import type { Plan } from "../src/plan/plan.ts";

/** What a step of one token reads, in bytes, and its floating-point operations, as `inspect` sums them. */
export interface Cost {
  readonly bytes: number;
  readonly flops: number;
}

/** Keys that a query at `position` meets. */
export function keysAt({ ring, pinned }: CacheLayout, position: number): number {
  return Math.min(position + 1, ring) + Math.min(pinned, Math.max(0, position + 1 - ring));
}

/** The caches of the layers that attend, in the order of their records of Op.Attention. */
function cachesOf({ layers }: Plan): CacheLayout[] {
  return layers.map(({ cache }) => cache).filter(({ ring }) => ring > 0);
}

/** The cost of a step at `position`, or of one that meets `keys` keys in every layer. */
export function stepCost(plan: Plan, position: number, keys?: number): Cost {
  const caches = cachesOf(plan);
  let bytes = 0;
  let flops = 0;
  for (const record of plan.records.flat()) {
    const cache = record.op === Op.Attention ? (caches.shift() as CacheLayout) : undefined;
    const visited = cache ? (keys ?? keysAt(cache, position)) / (cache.ring + cache.pinned) : 1;
    bytes += record.weightBytes + record.cacheBytes * visited;
    flops += record.flops * visited;
  }
  return { bytes, flops };
}

/** Operations of the head alone, which only the last token of a text needs. */
export function headFlops(plan: Plan): number {
  return plan.records.flat().at(-1)?.flops ?? 0;
}

/** Bytes of one position's keys and values in all layers. */
export function bytesPerKey(plan: Plan): number {
  const attentions = plan.records.flat().filter(({ op }) => op === Op.Attention);
  return cachesOf(plan).reduce(
    (sum, { ring, pinned }, i) => sum + (attentions[i]?.cacheBytes ?? 0) / (ring + pinned),
    0,
  );
}
