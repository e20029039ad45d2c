import { Offset } from "../../assembly/op.ts";
import type { CacheDType } from "../base/dtype.ts";
import { mismatch, OptionError } from "../base/errors.ts";
import { Arena } from "../machine/arena.ts";
import type { BankPlan } from "../machine/bank.ts";
import type { MachinePlan, Segment } from "../machine/machine.ts";
import { chosenBuffer, HIDDEN, LOGITS, PLANNED } from "../models/buffers.ts";
import { attentionOf, headsOf, type Program, windowsOf } from "../models/program.ts";
import { assignBanks, initialBytes, type LinkedUnits } from "./banks.ts";
import { type CacheLayout, cacheLayout, NO_CACHE } from "./cache.ts";
import { type KeptVector, type PlacedFinalNorm, placeFinalNorm } from "./final_norm.ts";
import { type Folding, foldings } from "./fold.ts";
import { withFrequencies } from "./frequencies.ts";
import { bytesOf, programBytes, recordsOf, type Stretch } from "./link.ts";
import { quantizedBuffer } from "./lower.ts";
import { attentionBuffers } from "./lower_attention.ts";
import { headsThatLook, isLogged } from "./middle.ts";
import type { Observed, Observers } from "./observers.ts";
import { type Constant, type Draft, type Placement, placeBank, type Unit, unitsOf } from "./place.ts";
import { layerPolicies, mixedWindows, type Policy } from "./policy.ts";
import type { PlannedRecord } from "./record.ts";
import type { PlacedWeight, ResolvedWeight } from "./weights.ts";

/** How a program is planned, every number decided; defaults are in planModel. */
export interface PlanOptions {
  readonly cacheDtype: CacheDType;
  /** The most rows of a step. */
  readonly chunkSize: number;
  /** About how long a step may take, in ms, while a session generates and others read prompts. */
  readonly targetGap: number;
  /** The most rows of a step that want logits. */
  readonly logitsRows: number;
  readonly maxSessions: number;
  /** The most bytes of a bank: a Wasm memory has at most 4 GiB. */
  readonly bankBytes: number;
  /** How many of its last tokens a session remembers for choosing the next. */
  readonly repeatLastN: number;
  /** Observers; without them, none of their records and bytes exist. */
  readonly observe?: Observers | undefined;
}

/** Every byte and every record of a model under a policy, decided before any weight is read. */
export interface Plan extends MachinePlan {
  /** The policy of every layer that was not trained with a window of its own; `layers` has that of each layer. */
  readonly policy: Policy;
  /** The longest text in tokens: the minimum over the layers. */
  readonly maxPositions: number;
  readonly options: PlanOptions;
  readonly weights: readonly PlacedWeight[];
  readonly constants: readonly Constant[];
  readonly records: readonly (readonly PlannedRecord[])[];
  /**
   * Where weights are staged while they are read, in each bank: the start of what later holds activations and sessions.
   */
  readonly staging: readonly number[];
  readonly foldings: readonly Folding[];
  readonly layers: readonly PlannedLayer[];
  /** The windows in tokens that layers keep under every policy, where windowed and global layers mix; null: a global one. */
  readonly windows: readonly (number | null)[] | undefined;
  /**
   * The bank, and the addresses of logits[logitsRows, vocab] and of what a token is chosen by (machine/scores.ts); a
   * session's slot there starts with its last row of logits. Unused if the program makes none.
   */
  readonly head: { readonly bank: number; readonly logits: number; readonly scores: number };
  /**
   * In the head's bank: the hidden states f32[rows, hiddenSize], the records that put them through the final norm, and the
   * vectors of that norm which are folded elsewhere.
   */
  readonly hiddenStates: {
    readonly bank: number;
    readonly address: number;
    readonly program: number;
    readonly kept: readonly KeptVector[];
  };
  /**
   * Of each layer that attends to middle keys, those that every head of every row has chosen, with their weights:
   * [rows, heads, recall] of f32 weight, u32 distance; where the distance is 0 there are no more. `gathered`: where their keys
   * and values are brought to, if they are in a log.
   */
  readonly chosen: readonly {
    readonly bank: number;
    readonly address: number;
    readonly heads: number;
    /** Heads that look for any. */
    readonly looking: number;
    readonly gathered: number;
  }[];
  /** For each unit (the embedding, each layer, the head), what its observers write, in its bank. */
  readonly observed: readonly (Observed & { readonly bank: number })[];
  /** Bytes of weights, of one session's keys and values, and of everything with one session. */
  readonly weightBytes: number;
  readonly cacheBytes: number;
  readonly memoryBytes: number;
}

/** A layer's bank, the byte offset of its cache in a session slot there, its policy, and the layout of its cache. */
export interface PlannedLayer {
  readonly bank: number;
  readonly offset: number;
  readonly policy: Policy;
  readonly cache: CacheLayout;
}

/** Just below 4 GiB: an end address of exactly 4 GiB would wrap to 0. */
export const LARGEST_BANK = 2 ** 32 - 65536;

/**
 * Plans a program under a policy: drafts, places, lowers and links. Throws ModelError if the model does not fit into
 * banks of `bankBytes`.
 */
export function plan(
  program: Program,
  resolved: ReadonlyMap<string, ResolvedWeight>,
  policy: Policy,
  options: PlanOptions,
): Plan {
  const draft = draftOf(program, resolved, policy, options);
  const units = unitsOf(draft.program);
  const linked = assignBanks(draft, units, options.bankBytes, (bank, mine) => linkBank(draft, bank, mine, options));
  const bankOf = (number: number) => linked.findIndex(({ units }) => units.some((unit) => unit.number === number));
  const stretches = linked.flatMap(({ stretches }) => stretches).sort((a, b) => a.first - b.first);
  const head = bankOf(program.layers.length + 1);
  const finalNorm = linked[head]?.finalNorm as PlacedFinalNorm;
  const weights = linked.flatMap(({ placement }) => placement.weights);
  return {
    policy,
    options,
    chunkSize: options.chunkSize,
    maxPositions: Math.min(...draft.layers.map((layer) => layer.policy.maxPositions)),
    banks: linked.map(({ bank }) => bank),
    segments: stretches.map(({ bank, program: address, first, begins, gathers }) => {
      const comes = begins && first ? carry(linked, bankOf(first - 1), bank, draft) : undefined;
      return { bank, program: address, carry: comes, gathers };
    }),
    weights,
    constants: linked.flatMap(({ constants }) => constants),
    records: stretches.map(({ records }) => records),
    staging: linked.map(({ placement }) => placement.staging),
    foldings: foldings(program, resolved),
    windows: mixedWindows(windowsOf(program)),
    layers: draft.layers.map((layer, i) => {
      const bank = bankOf(i + 1);
      return { ...layer, bank, offset: linked[bank]?.placement.offsets.get(i) as number };
    }),
    observed: units.map(({ number }) => {
      const bank = bankOf(number);
      return { ...linked[bank]?.placement.observed.get(number), bank };
    }),
    chosen: draft.layers.flatMap(({ cache }, layer) => {
      if (!cache.middle) return [];
      const bank = bankOf(layer + 1);
      const { at } = (linked[bank] as LinkedBank).placement;
      const gathered = isLogged(cache.middle) ? at.buffer(PLANNED.gathered) : 0;
      const heads = headsOf(program, layer);
      const looking = headsThatLook(cache.middle, layer, heads);
      return [{ bank, address: at.buffer(chosenBuffer(layer)), heads, looking, gathered }];
    }),
    head: {
      bank: head,
      logits: linked[head]?.placement.at.buffer(LOGITS) ?? Offset.Unused,
      scores: linked[head]?.placement.scores as number,
    },
    hiddenStates: {
      bank: head,
      address: linked[head]?.placement.at.buffer(HIDDEN) as number,
      program: finalNorm.program.address,
      kept: finalNorm.kept,
    },
    weightBytes: weights.reduce((sum, weight) => sum + weight.bytes, 0),
    cacheBytes: draft.layers.reduce((sum, { cache }) => sum + cache.valueBytes, 0),
    memoryBytes: linked.reduce((sum, { bank }) => sum + bank.initialBytes, 0),
  };
}

/** What is decided before anything is placed: the policy and cache of every layer, the widths of all buffers. */
function draftOf(
  given: Program,
  resolved: ReadonlyMap<string, ResolvedWeight>,
  policy: Policy,
  options: PlanOptions,
): Draft {
  const policies = layerPolicies(policy, windowsOf(given));
  const program = withFrequencies(given, policies);
  const attentions = program.layers.map((_, layer) => attentionOf(program, layer));
  const layers = policies.map((mine, layer) => {
    const attention = attentions[layer];
    return { policy: mine, cache: attention ? cacheLayout(mine, attention, options.cacheDtype) : NO_CACHE };
  });
  const stranger = policy.recallHeads !== "all" && policy.recallHeads.find(([layer]) => !layers[layer]?.cache.middle);
  if (stranger)
    throw new OptionError(mismatch("recallHeads", "heads of layers without a window of their own", stranger.join(":")));
  const widths: Record<string, number> = { ...program.buffers };
  for (const [layer, { cache }] of layers.entries()) {
    const attention = attentions[layer];
    const buffers = attention ? attentionBuffers(attention, layer, cache) : {};
    for (const [name, width] of Object.entries(buffers)) widths[name] = Math.max(widths[name] ?? 0, width);
  }
  Object.assign(
    widths,
    quantizedBuffer(program, (name) => (resolved.get(name) as ResolvedWeight).dtype),
  );
  return { program, resolved, layers, widths, ...options };
}

interface LinkedBank extends LinkedUnits {
  readonly placement: Placement;
  readonly bank: BankPlan;
  readonly constants: readonly Constant[];
  readonly stretches: readonly LinkedStretch[];
  /** In the head's bank. */
  readonly finalNorm: PlacedFinalNorm | undefined;
}

interface LinkedStretch extends Stretch {
  readonly bank: number;
  /** Address of its records. */
  readonly program: number;
}

/** Places a bank's units, then their records, which contain addresses of all the rest, and the session slots last. */
function linkBank(draft: Draft, bank: number, units: readonly Unit[], options: PlanOptions): LinkedBank {
  const placement = placeBank(draft, bank, units);
  const arena = new Arena(placement.end);
  const stretches = recordsOf(draft, placement, units).map((stretch): LinkedStretch => {
    return { ...stretch, bank, program: arena.take(programBytes(stretch.records.length)) };
  });
  const programs = stretches.map(({ program, records }) => ({ bank, address: program, bytes: bytesOf(records) }));
  const finalNorm = placeFinalNorm(draft, placement, bank, units, arena);
  if (finalNorm) programs.push(finalNorm.program);
  const { control, step, slotBytes, staging, stagingBytes } = placement;
  const initial = initialBytes(placement, arena.end);
  const all = Math.max(staging + stagingBytes, arena.end + options.maxSessions * slotBytes);
  // With all sessions, as far as a memory can hold them.
  const maximumBytes = Math.max(initial, Math.min(options.bankBytes, all));
  return {
    units,
    placement,
    stretches,
    finalNorm,
    constants: [...placement.constants, ...programs],
    bank: { control, step, slots: arena.end, slotBytes, initialBytes: initial, maximumBytes },
  };
}

/** The hidden state that a segment takes over from another bank. */
function carry(linked: readonly LinkedBank[], from: number, to: number, { widths }: Draft): Segment["carry"] {
  if (from === to) return undefined;
  const hidden = (bank: number) => linked[bank]?.placement.at.buffer(HIDDEN) as number;
  return { bank: from, from: hidden(from), to: hidden(to), width: widths[HIDDEN] as number };
}
