import type { Plan } from "../src/model/plan.ts";

/** What a step of one token reads, in bytes, and its floating-point operations, as `inspect` sums them. */
export interface Cost {
  readonly bytes: number;
  readonly flops: number;
}

/** Keys that a query at `position` meets. */
export function keysAt({ ring, pinned }: Plan["cache"], position: number): number {
  return Math.min(position + 1, ring) + Math.min(pinned, Math.max(0, position + 1 - ring));
}

/** The cost of a step at `position`, or of one that meets `keys` keys. */
export function stepCost(plan: Plan, position: number, keys = keysAt(plan.cache, position)): Cost {
  const visited = keys / (plan.cache.ring + plan.cache.pinned);
  let bytes = 0;
  let flops = 0;
  for (const record of plan.records.flat()) {
    bytes += record.weightBytes + record.cacheBytes * visited;
    flops += record.cacheBytes ? record.flops * visited : record.flops;
  }
  return { bytes, flops };
}

/** Operations of the head alone, which only the last token of a text needs. */
export function headFlops(plan: Plan): number {
  return plan.records.flat().at(-1)?.flops ?? 0;
}

/** Bytes of one position's keys and values in all layers. */
export function bytesPerKey({ records, cache }: Plan): number {
  return records.flat().reduce((sum, { cacheBytes }) => sum + cacheBytes, 0) / (cache.ring + cache.pinned);
}
