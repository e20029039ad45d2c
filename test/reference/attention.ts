/**
 * Attention by its definition: every pair of a query and a key is asked whether it is attended and at which distance,
 * and the logit is computed from that distance alone. No cache, no blocks, no absolute positions in the rotation.
 *
 * Position of query p and key j count from 0; d = p − j. The parameters carry the names of LM-Infinite's paper
 * (arXiv 2308.16137, section 4): nGlobal (g), nLocal (L), limit (the distance ceiling).
 */
import { type RopeLayout, rotate, softmax, turns } from "./math";
import { chooseMiddle, followedBy, runsOn } from "./recall";

/** Queries and keys of f32 differ by so much of their largest number at most, and weights by so many nats. */
const TOLERANCE = 1e-5;
const GATE_TOLERANCE = 1e-4;

export type PolicyName = "full" | "lambda" | "window" | "lambda-only" | "ceiling-only" | "sinks";

/** Infinity is allowed for nLocal and limit. */
export interface Policy {
  policy: PolicyName;
  /** g: keys at the beginning of the text that stay attended. Default 0. Read by lambda, lambda-only and sinks. */
  nGlobal?: number;
  /** How many of these g this text has. Default all; `sinks` counts distances in a cache with room for g. */
  pinned?: number | undefined;
  /** L: keys nearest to the query, itself included. Default Infinity. Read by all but full and ceiling-only. */
  nLocal?: number;
  /** The largest distance used. Default nLocal. Read by lambda and ceiling-only. */
  limit?: number;
  /** Top-k middle tokens: how many, 0 or undefined for none. Read by all but full and ceiling-only, as what follows. */
  recall?: number;
  recallDistance?: number;
  /** In how many blocks they are looked for. Default all. */
  recallBlocks?: number;
  /** How much each one's weight is lowered, as a power of two in parts of all others'. Default −Infinity. */
  recallGate?: number;
  /** The layers, from 0, that have them. Default all. */
  recallLayers?: readonly number[];
  /** The heads of these layers that do, as layer, head and a gate in place of recallGate. Default all. */
  recallHeads?: "all" | readonly (readonly [layer: number, head: number, gate?: number])[];
  /** How far behind the local keys they may be. Default Infinity. */
  recallTokens?: number;
  /** The gate of a head of the layer at hand; Infinity: it has none of them. Default: recallGate. */
  gateOf?: (head: number) => number;
  /** Whether query p has them. Default: every one. */
  asks?: (p: number) => boolean;
  /** The position before which query p attends no local key. Default 0. */
  begin?: (p: number) => number;
}

/** How many keys at the text's beginning stay attended. */
function pinnedOf({ policy, nGlobal = 0, pinned = nGlobal }: Policy): number {
  return policy === "window" ? 0 : Math.min(nGlobal, pinned);
}

/** Where the local keys of query p start. */
function localBegin({ nLocal = Infinity, begin = () => 0 }: Policy, p: number): number {
  return Math.max(p - nLocal + 1, begin(p));
}

/** The keys [begin, end) that query p of a head, or of one that looks for any, chooses its middle keys from, wherever its turn begins. */
export function middleOf(policy: Policy, p: number, head?: number): readonly [begin: number, end: number] {
  const { nLocal = Infinity, recall = 0, recallTokens = Infinity, asks = () => true, gateOf } = policy;
  const end = Math.max(0, p - nLocal + 1);
  const begin = Math.max(pinnedOf(policy), end - recallTokens);
  const looks = head === undefined || gateOf?.(head) !== Infinity;
  return recall > 0 && asks(p) && looks && begin < end ? [begin, end] : [0, 0];
}

/** Is key j ≤ p attended by query p, and at which distance? `distance` is NaN where it is not attended. */
export function pair(policy: Policy, p: number, j: number): { attended: boolean; distance: number } {
  const { nGlobal: g = 0, nLocal: L = Number.POSITIVE_INFINITY, limit = L } = policy;
  const d = p - j;
  const local = j >= localBegin(policy, p);
  const global = !local && j < pinnedOf(policy);
  const masked = { attended: false, distance: Number.NaN };
  const at = (distance: number) => ({ attended: true, distance });

  switch (policy.policy) {
    case "full":
      return at(d);
    case "ceiling-only":
      return at(Math.min(d, limit));
    case "window":
      return local ? at(d) : masked;
    case "lambda":
      return local ? at(d) : global ? at(Math.min(d, limit)) : masked;
    case "lambda-only":
      return local || global ? at(d) : masked;
    case "sinks": // StreamingLLM, arXiv 2309.17453: the distance within a cache that is full
      return local ? at(d) : global ? at(Math.min(d, g + L - 1 - j)) : masked;
  }
}

/** The largest distance that a policy has: Infinity where it clamps none. */
export function ceiling({ policy, nGlobal: g = 0, nLocal: L = Number.POSITIVE_INFINITY, limit = L }: Policy): number {
  if (policy === "sinks") return g + L - 1;
  return policy === "lambda" || policy === "ceiling-only" ? limit : Number.POSITIVE_INFINITY;
}

/** How a distance enters a logit. */
export type Position =
  /**
   * logit = (R(distance) q)·k; θ [rotaryDim/2]. `factor`: of cos and sin, of the query's and the key's. `temperature`: of
   * queries, by how many tokens are before them.
   */
  | {
      kind: "rope";
      inverseFrequencies: Float64Array;
      layout: RopeLayout;
      factor?: number;
      temperature?: (before: number) => number;
    }
  /** logit = q·k */
  | { kind: "none" }
  /** logit = q·k − slope · distance; slopes [heads] */
  | { kind: "alibi"; slopes: Float64Array };

export interface AttentionShape {
  heads: number;
  /** Each is read by heads / kvHeads query heads in a row. */
  kvHeads: number;
  headDim: number;
  /** Of q·k, before the ALiBi bias. Default 1/√headDim. */
  scale?: number | undefined;
  /** A logit x, so scaled, becomes softCap · tanh(x / softCap), before the ALiBi bias. Default none. */
  softCap?: number | undefined;
}

/** What `attention` saw of one query in one head; entries [p + 1], by key position. */
export interface AttentionRow {
  head: number;
  p: number;
  /** −Infinity where the key is not attended. */
  logits: Float64Array;
  weights: Float64Array;
  /** Whether the middle keys are the same where queries and keys are a little different. */
  certain: boolean;
}

/**
 * One layer's attention. q [n][heads·headDim], k and v [n][kvHeads·headDim], all unrotated → [n][heads·headDim].
 * HF eager_attention_forward. `observe`, if given, is called for every head and query. `choice`, if given, has the middle
 * keys that were chosen elsewhere, and those alone are attended to.
 */
export function attention(
  q: Float64Array[],
  k: Float64Array[],
  v: Float64Array[],
  shape: AttentionShape,
  position: Position,
  policy: Policy,
  observe?: (row: AttentionRow) => void,
  choice?: (head: number, p: number) => readonly number[],
): Float64Array[] {
  const { heads, kvHeads, headDim, scale = 1 / Math.sqrt(headDim), softCap } = shape;
  const scaled = (x: number) => (softCap ? softCap * Math.tanh((x * scale) / softCap) : x * scale);
  const output = q.map(() => new Float64Array(heads * headDim));
  const turnsOf = memo((distance) => {
    if (position.kind !== "rope") return null;
    const { cos, sin } = turns(distance, position.inverseFrequencies);
    const twice = (position.factor ?? 1) ** 2;
    return { cos: cos.map((value) => twice * value), sin: sin.map((value) => twice * value) };
  });
  /** What the query at position p is multiplied by. */
  const temperatureOf = (p: number) =>
    position.kind === "rope" ? (position.temperature?.(Math.min(p, ceiling(policy))) ?? 1) : 1;

  /** The logit of one pair; query and key [headDim]. */
  const logit = (query: Float64Array, key: Float64Array, distance: number, head: number): number => {
    if (position.kind === "rope") return scaled(dot(rotate(query, turnsOf(distance)!, position.layout), key));
    const bias = position.kind === "alibi" ? position.slopes[head]! * distance : 0;
    return scaled(dot(query, key)) - bias;
  };

  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor(head / (heads / kvHeads));
    const keys = k.map((row) => row.slice(kvHead * headDim, (kvHead + 1) * headDim)); // [n][headDim]
    const values = v.map((row) => row.slice(kvHead * headDim, (kvHead + 1) * headDim)); // [n][headDim]

    const chosen: (readonly number[])[] = [];
    for (let p = 0; p < q.length; p++) {
      const query = q[p]!.slice(head * headDim, (head + 1) * headDim).map((value) => value * temperatureOf(p)); // [headDim]
      const logits = new Float64Array(p + 1).fill(Number.NEGATIVE_INFINITY);
      for (let j = 0; j <= p; j++) {
        const { attended, distance } = pair(policy, p, j);
        if (attended) logits[j] = logit(query, keys[j]!, distance, head);
      }
      const middle = middleOf(policy, p, head);
      const { recall: k = 0, recallBlocks: blocks = Infinity } = policy;
      const nGlobal = pinnedOf(policy);
      const asked = position.kind === "rope" ? rotate(query, turnsOf(policy.recallDistance!)!, position.layout) : query;
      const followed = followedBy(p, (before) => chosen[before]!);
      const found = chooseMiddle(asked, keys, middle, { k, blocks, nGlobal, followed }, TOLERANCE);
      const others = logsumexp(logits);
      const gate = policy.gateOf?.(head) ?? policy.recallGate ?? Number.NEGATIVE_INFINITY;
      const lowest = others + gate * Math.LN2 + Math.log((middle[1] - middle[0]) / 65_536) / 2;
      const own = choice?.(head, p) ?? found.positions;
      chosen.push(own);
      let certain = found.certain;
      for (const j of own) {
        const score = logit(query, keys[j]!, policy.recallDistance!, head);
        const runs = runsOn(p, j, (p) => chosen[p]!);
        if (!runs && Math.abs(score - lowest) < GATE_TOLERANCE) certain = false;
        const left = runs ? 1 : 1 - Math.exp(lowest - score);
        if (left > 0) logits[j] = score + Math.log(left);
      }
      const weights = softmax(logits);
      for (let j = 0; j <= p; j++)
        for (let i = 0; i < headDim; i++) output[p]![head * headDim + i]! += weights[j]! * values[j]![i]!;
      observe?.({ head, p, logits, weights, certain });
    }
  }
  return output;
}

function logsumexp(logits: Float64Array): number {
  const largest = Math.max(...logits);
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** f, computing each value once. */
function memo<T>(f: (x: number) => T): (x: number) => T {
  const known = new Map<number, T>();
  return (x) => {
    if (!known.has(x)) known.set(x, f(x));
    return known.get(x)!;
  };
}
