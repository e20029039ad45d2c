/** What a policy says of middle tokens: which heads look for them, where, and which are kept. see: docs/RECALL.md */
import { Code } from "../../assembly/layout_codes.ts";
import { mismatch, OptionError, show } from "../base/errors.ts";
import { LOG_SEGMENT, type LogStore } from "../store/log_store.ts";

/**
 * Which queries attend to middle tokens: all, or, as in LM-Infinite's code, the last of what is appended and generated
 * ones.
 */
export const RECALL_QUERIES = ["all", "last"] as const;
/** Which queries attend to middle tokens. */
export type RecallQueries = (typeof RECALL_QUERIES)[number];

/** The options of a policy that are about middle tokens. */
export interface MiddleOptions {
  /**
   * Tokens between the first and the recent ones that each head of a query attends to, those of its largest logits; 0
   * by default.
   */
  readonly recall?: number | undefined;
  /** The distance at which they are met: by default half of limit, or of nLocal if there is no ceiling. */
  readonly recallDistance?: number | undefined;
  /** The layers, from 0, that attend to them: by default those from 5/32 of the layers on, as in the paper. */
  readonly recallLayers?: readonly number[] | undefined;
  /**
   * The heads of these layers that do, each as its layer, its number in it, and if it has one its own gate: by default all. Most
   * heads need nothing of what is far away; `lambent calibrate` finds those that do. Without recallLayers, those layers that
   * have any.
   */
  readonly recallHeads?: readonly LayerHead[] | "all" | undefined;
  /** How many tokens before the last nLocal are kept to choose them from: by default 8 times the trained length. */
  readonly recallTokens?: number | undefined;
  /**
   * How many blocks of 16 of them (32 with heads of more than 128 numbers) are looked into, those whose keys are most like the
   * query in the mean: by default 128, or a 512th of recallTokens if that is more; 8,192 at most; all of them: "all".
   */
  readonly recallBlocks?: number | "all" | undefined;
  /**
   * What a middle token that does not run on (docs/RECALL.md) loses of its weight where there are 65,536 of them, relative to
   * that of the first and the recent tokens together, as a power of two, such as 0; with four times as many twice that. By
   * default "none": nothing. One of which nothing is left is not attended to.
   */
  readonly recallGate?: number | "none" | undefined;
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

/** A layer, from 0, the number of a head in it, and its gate if that is not recallGate. */
export type LayerHead = readonly [layer: number, head: number, gate?: number];

/** Top-k middle tokens (the paper's §3), found by their codes (docs/RECALL.md). */
export interface Middle {
  readonly recall: number;
  readonly recallDistance: number;
  readonly recallLayers: readonly number[];
  readonly recallHeads: readonly LayerHead[] | "all";
  readonly recallTokens: number;
  /** Of how many of them keys and values are in a session's slot: all, or the newest, where others are in its log. */
  readonly recallHeld: number;
  readonly recallBlocks: number;
  /** −Infinity: none. */
  readonly recallGate: number;
  readonly recallQueries: RecallQueries;
}

/** No layer attends to any. */
export const NO_RECALL: Middle = {
  ...{ recall: 0, recallDistance: 0, recallLayers: [], recallTokens: 0, recallHeld: 0 },
  recallHeads: "all",
  ...{ recallBlocks: 0, recallGate: 0 },
  recallQueries: "all",
};

/** The largest number that an option may be. */
const LARGEST = 2 ** 31;

/** Throws OptionError for what is not a whole number of that range. */
export function whole(name: string, value: number, min: number, max = LARGEST): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new OptionError(mismatch(name, `a whole number from ${min} to ${max}`, value));
}

/** More would be a cache of its own. */
const LARGEST_K = 256;

/** Powers of two that f32 has. */
export const LARGEST_GATE = 100;

/** recallBlocks by default: one block per so many of recallTokens, but no fewer than 65,536 tokens need. */
const TOKENS_PER_BLOCK = 512;
const LEAST_BLOCKS = 128;

/** What is expected of recallHeads. */
export const HEADS = `lists of a layer, a head and if need be a gate from -${LARGEST_GATE} to ${LARGEST_GATE}`;

/** The paper's numbers (§3): in Llama 2 with its 32 layers, the first 5 attend to no middle tokens. */
export const PAPER_LAYERS = 32;
const PAPER_FIRST_LAYER = 5;

/** Resolves every number of middle tokens for a model of `layers`. Throws OptionError for what is none. */
export function resolveRecall(
  options: MiddleOptions,
  { attention, nLocal, limit }: { readonly attention: string; readonly nLocal: number; readonly limit: number },
  trainedLength: number,
  layers: number,
): Middle {
  const recall = whole("recall", options.recall ?? 0, 0, LARGEST_K);
  if (recall === 0) return NO_RECALL;
  if (nLocal === Infinity) throw new OptionError(mismatch("recall", `0 under ${attention} attention`, recall));
  if (nLocal < Code.WideBlock)
    throw new OptionError(mismatch("nLocal", `${Code.WideBlock} or more with recall`, nLocal));
  const half = Math.max(1, Math.floor((limit === Infinity ? nLocal : limit) / 2));
  const recallQueries = options.recallQueries ?? "all";
  if (!RECALL_QUERIES.includes(recallQueries)) {
    throw new OptionError(mismatch("recallQueries", `one of ${RECALL_QUERIES.join(", ")}`, recallQueries));
  }
  checkStore(options);
  const recallHeads = resolveHeads(options, layers);
  const recallTokens = whole("recallTokens", options.recallTokens ?? Math.min(8 * trainedLength, LARGEST), 1);
  return {
    recall,
    recallDistance: whole("recallDistance", options.recallDistance ?? half, 1),
    recallLayers: resolveLayers(options.recallLayers ?? layersOf(recallHeads), layers),
    recallHeads,
    recallTokens,
    recallHeld: options.recallStore === undefined ? recallTokens : Math.min(recallTokens, LOG_SEGMENT),
    recallBlocks: resolveBlocks(options.recallBlocks ?? defaultBlocks(recallTokens)),
    recallGate: resolveGate(options.recallGate),
    recallQueries,
  };
}

function checkStore({ recallStore, recallMemory = 0 }: MiddleOptions): void {
  const isStore =
    typeof recallStore === "object" &&
    [recallStore?.put, recallStore?.get, recallStore?.delete].every((method) => typeof method === "function") &&
    ["function", "undefined"].includes(typeof recallStore.read);
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

/** Throws OptionError for a head that is none, twice there or of another layer than those of recallLayers. */
function resolveHeads({ recallHeads, recallLayers }: MiddleOptions, layers: number): readonly LayerHead[] | "all" {
  if (recallHeads === undefined || recallHeads === "all") return "all";
  const shown = (head: unknown) => (Array.isArray(head) ? head.join(":") : show(head));
  if (!Array.isArray(recallHeads) || recallHeads.length === 0) {
    throw new OptionError(mismatch("recallHeads", `all, or ${HEADS}`, recallHeads));
  }
  // Not `every`, which leaves out holes.
  const at = recallHeads.findIndex((head) => !isHead(head));
  if (at >= 0) throw new OptionError(mismatch("recallHeads", `all, or ${HEADS}`, shown(recallHeads[at])));
  const beyond = recallHeads.find(([layer]) => layer >= layers);
  if (beyond) throw new OptionError(mismatch("recallHeads", `heads of layers 0 to ${layers - 1}`, shown(beyond)));
  const stranger = Array.isArray(recallLayers) && recallHeads.find(([layer]) => !recallLayers.includes(layer));
  if (stranger)
    throw new OptionError(mismatch("recallHeads", `heads of recallLayers (${recallLayers})`, shown(stranger)));
  const sorted = [...recallHeads].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const twice = sorted.find(([layer, head], i) => layer === sorted[i + 1]?.[0] && head === sorted[i + 1]?.[1]);
  if (twice) throw new OptionError(mismatch("recallHeads", "each head once", `${shown(twice)} twice`));
  return sorted;
}

function layersOf(heads: readonly LayerHead[] | "all"): number[] | undefined {
  return heads === "all" ? undefined : heads.map(([layer]) => layer);
}

/** What recallHeads is a list of. */
export function isHead(head: unknown): head is LayerHead {
  if (!Array.isArray(head) || head.length < 2 || head.length > 3) return false;
  const [layer, number, gate = 0] = head;
  return [layer, number].every((whole) => Number.isInteger(whole) && whole >= 0) && isGate(gate);
}

/**
 * The gates of a layer's heads, of so many, as powers of two: −Infinity: none; Infinity: the head does not look back.
 * Throws OptionError for a head that the layer does not have.
 */
export function gatesOf({ recallHeads, recallGate }: Middle, layer: number, heads: number): number[] {
  const gates = new Array<number>(heads).fill(recallHeads === "all" ? recallGate : Infinity);
  for (const [of, head, gate = recallGate] of recallHeads === "all" ? [] : recallHeads) {
    if (of !== layer) continue;
    if (head >= heads)
      throw new OptionError(mismatch("recallHeads", `heads 0 to ${heads - 1} of layer ${layer}`, `${layer}:${head}`));
    gates[head] = gate;
  }
  return gates;
}

/** How many of a layer's heads look back. */
export function headsThatLook(middle: Middle, layer: number, heads: number): number {
  return gatesOf(middle, layer, heads).filter((gate) => gate < Infinity).length;
}

/** In ascending order, each once. */
function resolveLayers(given: readonly number[] | undefined, layers: number): readonly number[] {
  const first = Math.round((PAPER_FIRST_LAYER / PAPER_LAYERS) * layers);
  const chosen = given ?? Array.from({ length: layers - first }, (_, i) => first + i);
  const expected = `some of 0 to ${layers - 1}`;
  if (!Array.isArray(chosen)) throw new OptionError(mismatch("recallLayers", expected, chosen));
  const bad = chosen.findIndex((layer) => !(Number.isInteger(layer) && layer >= 0 && layer < layers));
  if (bad >= 0 || chosen.length === 0) throw new OptionError(mismatch("recallLayers", expected, chosen[bad] ?? "none"));
  return [...new Set<number>(chosen)].sort((a, b) => a - b);
}

/** recallBlocks by default. The more blocks there are, the more of them score as high as the one that has what is looked for. */
function defaultBlocks(recallTokens: number): number {
  return Math.min(Math.max(LEAST_BLOCKS, Math.ceil(recallTokens / TOKENS_PER_BLOCK)), Code.MostBlocks);
}

function resolveBlocks(blocks: number | "all"): number {
  if (blocks === "all") return Infinity;
  if (Number.isInteger(blocks) && blocks >= 1 && blocks <= Code.MostBlocks) return blocks;
  throw new OptionError(mismatch("recallBlocks", `all, or a whole number from 1 to ${Code.MostBlocks}`, blocks));
}

/** What recallGate may be. */
export function isGate(gate: unknown): gate is number {
  return typeof gate === "number" && gate >= -LARGEST_GATE && gate <= LARGEST_GATE;
}

function resolveGate(gate: number | "none" = "none"): number {
  if (gate === "none") return -Infinity;
  if (isGate(gate)) return gate;
  throw new OptionError(mismatch("recallGate", `none, or a number from -${LARGEST_GATE} to ${LARGEST_GATE}`, gate));
}
