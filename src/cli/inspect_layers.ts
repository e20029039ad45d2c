import { Clamp } from "../../assembly/op_positions.ts";
import { attentionOf } from "../models/program.ts";
import type { Planned } from "../plan/plan_checkpoint.ts";

/** What the queries of a layer attend to, as `inspect --json` prints it; what has no bound is null. */
export function attendedOf({ program, plan }: Planned) {
  return plan.layers.map(({ policy, cache, bank }, layer) => ({
    layer,
    bank,
    positions: attentionOf(program, layer)?.positions.kind ?? null,
    window: attentionOf(program, layer)?.window ?? null,
    attention: policy.attention,
    nGlobal: cache.pinned,
    nLocal: finite(policy.nLocal),
    limit: cache.clamp === Clamp.Distance ? cache.limit : null,
    maxPositions: finite(policy.maxPositions),
    recall: policy.recall,
    cacheBytes: cache.valueBytes,
  }));
}

type Attended = ReturnType<typeof attendedOf>[number];

/** Layers that attend alike, in one line each. */
export function describeLayers(layers: readonly Attended[]): string[] {
  const groups = new Map<string, Attended[]>();
  for (const one of layers) {
    const text = describeAttended(one);
    groups.set(text, [...(groups.get(text) ?? []), one]);
  }
  return [...groups].map(([text, members]) => {
    const bytes = members.reduce((sum, { cacheBytes }) => sum + cacheBytes, 0);
    return `${ranges(members.map(({ layer }) => layer))}: ${text} (${bytes} bytes of cache)`;
  });
}

function describeAttended({ positions, window, nGlobal, nLocal, limit, maxPositions, recall }: Attended): string {
  if (positions === null) return "no attention";
  const pinned = nGlobal > 0 ? `the first ${nGlobal} and ` : "";
  const local = nLocal === null ? `all of at most ${maxPositions} tokens` : `the last ${nLocal} tokens`;
  return [
    `${pinned}${local}`,
    ...(window !== null && window === nLocal ? ["the trained window"] : []),
    ...(limit === null ? [] : [`distances up to ${limit}`]),
    ...(recall > 0 ? [`the best ${recall} of those between`] : []),
    ...(positions === "none" ? ["no positions"] : []),
  ].join(", ");
}

/** 0–4, 6, 8–9 */
function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(", ");
}

function finite(value: number): number | null {
  return value === Infinity ? null : value;
}
