import { Code } from "../../assembly/layout_codes.ts";
import { mismatch, OptionError, show } from "../base/errors.ts";
import { LOG_SEGMENT, type LogStore } from "../store/log_store.ts";

/** Λ-attention and the baselines that the same code gives: which keys a query meets, and at what distance. */
export const POLICIES = ["lambda", "full", "window", "sinks", "lambda-only", "ceiling-only"] as const;
/** The name of a policy. */
export type PolicyName = (typeof POLICIES)[number];

/**
 * Which queries attend to middle tokens: all, or, as in LM-Infinite's code, the last of what is appended and generated
 * ones.
 */
export const RECALL_QUERIES = ["all", "last"] as const;
/** Which queries attend to middle tokens. */
export type RecallQueries = (typeof RECALL_QUERIES)[number];

/** The numbers of a policy; docs/OPTIONS.md describes every option. */
export interface PolicyOptions {
  /** `lambda` by default. */
  readonly attention?: PolicyName | undefined;
  /** First tokens that every query attends to: 10, with `sinks` 4. */
  readonly nGlobal?: number | undefined;
  /** Most recent tokens that a query attends to, itself included: min(trained length, 4096), with `sinks` 4 less. */
  readonly nLocal?: number | undefined;
  /** The distance ceiling in tokens, nLocal by default. */
  readonly limit?: number | undefined;
  /**
   * The longest text in tokens under `full` and `ceiling-only`, whose cache grows with it; the trained length by
   * default.
   */
  readonly maxPositions?: number | undefined;
  /**
   * Tokens between the first and the recent ones that each head of a query attends to, those of its largest logits; 0
   * by default.
   */
  readonly recall?: number | undefined;
  /** The distance at which they are met: by default half of limit, or of nLocal if there is no ceiling. */
  readonly recallDistance?: number | undefined;
  /** The layers, from 0, that attend to them: by default those from 5/32 of the layers on, as in the paper. */
  readonly recallLayers?: readonly number[] | undefined;
  /** How many tokens before the last nLocal are kept to choose them from: by default 8 times the trained length. */
  readonly recallTokens?: number | undefined;
  /**
   * How many blocks of 16 of them are looked into, those whose keys are most like the query in the mean: 128 by default; all
   * of them: "all".
   */
  readonly recallBlocks?: number | "all" | undefined;
  /**
   * The least weight of a middle token relative to that of the first and the recent ones together, as a power of two, such
   * as -3; by default any.
   */
  readonly recallGate?: number | undefined;
  /** `all` by default. */
  readonly recallQueries?: RecallQueries | undefined;
  /**
   * Where sessions keep a log of what is more than LOG_SEGMENT tokens older than the last nLocal: a folder (in a browser one
   * of the origin private file system), or a store. By default there is none, and all of it is in memory and in snapshots.
   */
  readonly recallStore?: string | LogStore | undefined;
  /** Bytes of the logs of all sessions that also stay in memory, where the store reads within a step: 256 MiB by default. */
  readonly recallMemory?: number | undefined;
}

/** A resolved policy. Infinity: no bound. Without middle tokens their numbers are 0. */
export interface Policy extends Middle {
  readonly attention: PolicyName;
  readonly nGlobal: number;
  readonly nLocal: number;
  readonly limit: number;
  readonly maxPositions: number;
}

/** Top-k middle tokens (the paper's §3), found by their codes (docs/RECALL.md). */
export interface Middle {
  readonly recall: number;
  readonly recallDistance: number;
  readonly recallLayers: readonly number[];
  readonly recallTokens: number;
  /** Of how many of them keys and values are in a session's slot: all, or the newest, where others are in its log. */
  readonly recallHeld: number;
  readonly recallBlocks: number;
  /** −Infinity: none. */
  readonly recallGate: number;
  readonly recallQueries: RecallQueries;
}

const NO_RECALL: Middle = {
  ...{ recall: 0, recallDistance: 0, recallLayers: [], recallTokens: 0, recallHeld: 0 },
  ...{ recallBlocks: 0, recallGate: 0 },
  recallQueries: "all",
};

const LARGEST = 2 ** 31;

/** More would be a cache of its own. */
const LARGEST_K = 256;

/** Powers of two that f32 has. */
const LARGEST_GATE = 100;

/** The paper's numbers (§3): in Llama 2 with its 32 layers, the first 5 attend to no middle tokens. */
const PAPER_LAYERS = 32;
const PAPER_FIRST_LAYER = 5;

function whole(name: string, value: number, min: number, max = LARGEST): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new OptionError(mismatch(name, `a whole number from ${min} to ${max}`, value));
}

/** The trained window of every layer, in tokens; undefined: the whole text. */
type Windows = readonly (number | undefined)[];

/** Whether some layers of a model were trained with a window of their own. */
function mixesWindows(windows: Windows): boolean {
  return windows.some((window) => window !== windows[0]);
}

/** Of a model that mixes windowed and global layers, the window of each; null: a global one. Undefined for all others. */
export function mixedWindows(windows: Windows): (number | null)[] | undefined {
  return mixesWindows(windows) ? windows.map((window) => window ?? null) : undefined;
}

/** The window that all layers share, which bounds nLocal; Infinity where there is none, or not one for all. */
export function sharedWindow(windows: Windows): number {
  return mixesWindows(windows) ? Infinity : (windows[0] ?? Infinity);
}

/**
 * The policy of every layer. In a model that mixes windows, a layer that was trained with one keeps exactly this
 * window: nothing is pinned there, no distance has a ceiling, no middle token is attended to.
 */
export function layerPolicies(policy: Policy, windows: Windows): Policy[] {
  const kept = mixedWindows(windows);
  return windows.map((_, layer) => {
    const window = kept?.[layer] ?? undefined;
    if (window !== undefined) {
      const unbounded = { limit: Infinity, maxPositions: Infinity };
      return { attention: "window", nGlobal: 0, nLocal: window, ...unbounded, ...NO_RECALL };
    }
    return policy.recall === 0 || policy.recallLayers.includes(layer) ? policy : { ...policy, ...NO_RECALL };
  });
}

/**
 * Resolves every number of a policy for a model of `layers` trained at `trainedLength` tokens (and with a sliding
 * window in all layers, if any). Numbers that the policy does not use are ignored, so that one set of flags serves all.
 */
export function resolvePolicy(
  options: PolicyOptions,
  trainedLength: number,
  slidingWindow = Infinity,
  layers = PAPER_LAYERS,
): Policy {
  const attention = options.attention ?? "lambda";
  if (!POLICIES.includes(attention)) {
    throw new OptionError(mismatch("attention", `one of ${POLICIES.join(", ")}`, attention));
  }
  const unbounded = attention === "full" || attention === "ceiling-only";
  const span = Math.min(trainedLength, slidingWindow, 4096);
  const pins = attention === "lambda" || attention === "sinks" || attention === "lambda-only";
  const nGlobal = pins ? whole("nGlobal", options.nGlobal ?? firstTokens(attention), 0) : 0;
  const local = attention === "sinks" ? Math.max(1, span - 4) : span;
  const nLocal = unbounded ? Infinity : whole("nLocal", options.nLocal ?? local, 1);
  let limit = Infinity;
  if (attention === "lambda") limit = whole("limit", options.limit ?? nLocal, 1);
  if (attention === "ceiling-only") limit = whole("limit", options.limit ?? options.nLocal ?? span, 1);
  if (attention === "lambda" && limit < nLocal)
    throw new OptionError(mismatch("limit", `nLocal (${nLocal}) or more`, limit));
  const maxPositions = unbounded ? whole("maxPositions", options.maxPositions ?? trainedLength, 1) : Infinity;
  const middle = resolveRecall(options, { attention, nLocal, limit }, trainedLength, layers);
  return { attention, nGlobal, nLocal, limit, maxPositions, ...middle };
}

/** First tokens that every query attends to, where nothing else is asked for. */
export function firstTokens(attention: PolicyName): number {
  return attention === "sinks" ? 4 : 10;
}

function resolveRecall(
  options: PolicyOptions,
  { attention, nLocal, limit }: Pick<Policy, "attention" | "nLocal" | "limit">,
  trainedLength: number,
  layers: number,
): Middle {
  const recall = whole("recall", options.recall ?? 0, 0, LARGEST_K);
  if (recall === 0) return NO_RECALL;
  if (nLocal === Infinity) throw new OptionError(mismatch("recall", `0 under ${attention} attention`, recall));
  if (nLocal < Code.Block) throw new OptionError(mismatch("nLocal", `${Code.Block} or more with recall`, nLocal));
  const half = Math.max(1, Math.floor((limit === Infinity ? nLocal : limit) / 2));
  const recallQueries = options.recallQueries ?? "all";
  if (!RECALL_QUERIES.includes(recallQueries)) {
    throw new OptionError(mismatch("recallQueries", `one of ${RECALL_QUERIES.join(", ")}`, recallQueries));
  }
  checkStore(options);
  const recallTokens = whole("recallTokens", options.recallTokens ?? Math.min(8 * trainedLength, LARGEST), 1);
  return {
    recall,
    recallDistance: whole("recallDistance", options.recallDistance ?? half, 1),
    recallLayers: resolveLayers(options.recallLayers, layers),
    recallTokens,
    recallHeld: options.recallStore === undefined ? recallTokens : Math.min(recallTokens, LOG_SEGMENT),
    recallBlocks: resolveBlocks(options.recallBlocks ?? 128),
    recallGate: resolveGate(options.recallGate),
    recallQueries,
  };
}

function checkStore({ recallStore, recallMemory = 0 }: PolicyOptions): void {
  const isStore =
    typeof recallStore === "object" &&
    [recallStore?.put, recallStore?.get, recallStore?.delete].every((method) => typeof method === "function");
  if (recallStore !== undefined && !isStore && (typeof recallStore !== "string" || recallStore === "")) {
    const found = recallStore === "" ? '""' : show(recallStore);
    throw new OptionError(mismatch("recallStore", "a folder, or a store with put, get and delete", found));
  }
  if (typeof recallMemory !== "number" || !(recallMemory >= 0))
    throw new OptionError(mismatch("recallMemory", "bytes, 0 or more", recallMemory));
}

/** Whether sessions have a log. */
export function isLogged({ recallTokens, recallHeld }: Middle): boolean {
  return recallHeld < recallTokens;
}

/** In ascending order, each once. */
function resolveLayers(given: readonly number[] | undefined, layers: number): readonly number[] {
  const first = Math.round((PAPER_FIRST_LAYER / PAPER_LAYERS) * layers);
  const chosen = given ?? Array.from({ length: layers - first }, (_, i) => first + i);
  const bad = chosen.find((layer) => !(Number.isInteger(layer) && layer >= 0 && layer < layers));
  if (bad !== undefined || chosen.length === 0) {
    throw new OptionError(mismatch("recallLayers", `some of 0 to ${layers - 1}`, bad ?? "none"));
  }
  return [...new Set(chosen)].sort((a, b) => a - b);
}

function resolveBlocks(blocks: number | "all"): number {
  if (blocks === "all") return Infinity;
  if (Number.isInteger(blocks) && blocks >= 1 && blocks <= Code.MostBlocks) return blocks;
  throw new OptionError(mismatch("recallBlocks", `all, or a whole number from 1 to ${Code.MostBlocks}`, blocks));
}

function resolveGate(gate: number | undefined): number {
  if (gate === undefined) return -Infinity;
  if (gate >= -LARGEST_GATE && gate <= LARGEST_GATE) return gate;
  throw new OptionError(mismatch("recallGate", `a number from -${LARGEST_GATE} to ${LARGEST_GATE}`, gate));
}
