import { mismatch, OptionError } from "../base/errors.ts";

/** Λ-attention and the baselines that the same code gives: which keys a query meets, and at what distance. */
export const POLICIES = ["lambda", "full", "window", "sinks", "lambda-only", "ceiling-only"] as const;
/** The name of a policy. */
export type PolicyName = (typeof POLICIES)[number];

/**
 * Which queries attend to middle tokens: all, or, as in LM-Infinite's code, the last of what is appended and generated
 * ones.
 */
export const MIDDLE_QUERIES = ["all", "last"] as const;
/** Which queries attend to middle tokens. */
export type MiddleQueries = (typeof MIDDLE_QUERIES)[number];

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
  readonly middleK?: number | undefined;
  /** The distance at which they are met: by default half of limit, or of nLocal if there is no ceiling. */
  readonly middleDistance?: number | undefined;
  /** The first layer, from 0, that attends to them: by default 5/32 of the layers, as in the paper. */
  readonly firstLayer?: number | undefined;
  /** How many tokens before the last nLocal are kept to choose them from: by default 8 times the trained length. */
  readonly maxMiddle?: number | undefined;
  /** `all` by default. */
  readonly middleQueries?: MiddleQueries | undefined;
}

/** A resolved policy. Infinity: no bound. Without middle tokens their numbers are 0. */
export interface Policy extends Middle {
  readonly attention: PolicyName;
  readonly nGlobal: number;
  readonly nLocal: number;
  readonly limit: number;
  readonly maxPositions: number;
}

/** Top-k middle tokens (the paper's §3). */
export interface Middle {
  readonly middleK: number;
  readonly middleDistance: number;
  readonly firstLayer: number;
  readonly maxMiddle: number;
  readonly middleQueries: MiddleQueries;
}

const NO_MIDDLE: Middle = { middleK: 0, middleDistance: 0, firstLayer: 0, maxMiddle: 0, middleQueries: "all" };

const LARGEST = 2 ** 31;

/** More would be a cache of its own. */
const LARGEST_K = 256;

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
      return { attention: "window", nGlobal: 0, nLocal: window, ...unbounded, ...NO_MIDDLE };
    }
    return layer < policy.firstLayer ? { ...policy, ...NO_MIDDLE } : policy;
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
  const nGlobal = pins ? whole("nGlobal", options.nGlobal ?? (attention === "sinks" ? 4 : 10), 0) : 0;
  const local = attention === "sinks" ? Math.max(1, span - 4) : span;
  const nLocal = unbounded ? Infinity : whole("nLocal", options.nLocal ?? local, 1);
  let limit = Infinity;
  if (attention === "lambda") limit = whole("limit", options.limit ?? nLocal, 1);
  if (attention === "ceiling-only") limit = whole("limit", options.limit ?? options.nLocal ?? span, 1);
  if (attention === "lambda" && limit < nLocal)
    throw new OptionError(mismatch("limit", `nLocal (${nLocal}) or more`, limit));
  const maxPositions = unbounded ? whole("maxPositions", options.maxPositions ?? trainedLength, 1) : Infinity;
  const middle = resolveMiddle(options, { attention, nLocal, limit }, trainedLength, layers);
  return { attention, nGlobal, nLocal, limit, maxPositions, ...middle };
}

function resolveMiddle(
  options: PolicyOptions,
  { attention, nLocal, limit }: Pick<Policy, "attention" | "nLocal" | "limit">,
  trainedLength: number,
  layers: number,
): Middle {
  const middleK = whole("middleK", options.middleK ?? 0, 0, LARGEST_K);
  if (middleK === 0) return NO_MIDDLE;
  if (nLocal === Infinity) throw new OptionError(mismatch("middleK", `0 under ${attention} attention`, middleK));
  const half = Math.max(1, Math.floor((limit === Infinity ? nLocal : limit) / 2));
  const middleQueries = options.middleQueries ?? "all";
  if (!MIDDLE_QUERIES.includes(middleQueries)) {
    throw new OptionError(mismatch("middleQueries", `one of ${MIDDLE_QUERIES.join(", ")}`, middleQueries));
  }
  const share = Math.round((PAPER_FIRST_LAYER / PAPER_LAYERS) * layers);
  const firstLayer = whole("firstLayer", options.firstLayer ?? share, 0);
  if (firstLayer >= layers) {
    throw new OptionError(mismatch("firstLayer", `less than the model's ${layers} layers`, firstLayer));
  }
  return {
    middleK,
    middleDistance: whole("middleDistance", options.middleDistance ?? half, 1),
    firstLayer,
    maxMiddle: whole("maxMiddle", options.maxMiddle ?? Math.min(8 * trainedLength, LARGEST), 1),
    middleQueries,
  };
}
