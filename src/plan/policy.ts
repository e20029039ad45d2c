import { mismatch, OptionError } from "../base/errors.ts";
import { type Middle, type MiddleOptions, NO_RECALL, PAPER_LAYERS, resolveRecall, whole } from "./middle.ts";

/** Λ-attention and the baselines that the same code gives: which keys a query meets, and at what distance. */
export const POLICIES = ["lambda", "full", "window", "sinks", "lambda-only", "ceiling-only"] as const;
/** The name of a policy. */
export type PolicyName = (typeof POLICIES)[number];

/** The numbers of a policy; docs/OPTIONS.md describes every option. */
export interface PolicyOptions extends MiddleOptions {
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
}

/** A resolved policy. Infinity: no bound. Without middle tokens their numbers are 0. */
export interface Policy extends Middle {
  readonly attention: PolicyName;
  readonly nGlobal: number;
  readonly nLocal: number;
  readonly limit: number;
  readonly maxPositions: number;
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
