import { Size } from "../../assembly/layout.ts";
import type { CacheDType } from "../dtype.ts";
import { Arena, align } from "../machine/arena.ts";
import type { BankPlan, MachinePlan, Segment } from "../machine/machine.ts";
import { assignBanks, stepBytes, type Unit } from "./banks.ts";
import { type CacheLayout, cacheLayout, type Policy } from "./cache.ts";
import { type Folding, foldings } from "./fold.ts";
import { LOGITS_BUFFERS, lower, type Quantized, quantizedBuffer, runAhead } from "./lower.ts";
import { anglesRecords, attentionBuffers } from "./lower_attention.ts";
import { type Observed, type Observers, placeObserved, withObservers } from "./observing.ts";
import { turns } from "./positions.ts";
import { type Program, weightNames } from "./program.ts";
import type { Addresses, PlannedRecord } from "./record.ts";
import { type PlacedWeight, type ResolvedWeight, stagedBytes } from "./weights.ts";

export interface PlanOptions {
  readonly cacheDtype: CacheDType;
  /** Rows that a step may have. */
  readonly chunkSize: number;
  /** Rows of a step that may want logits. */
  readonly logitsRows: number;
  readonly maxSessions: number;
  /** The most bytes that a bank may take: a Wasm memory has at most 4 GiB. */
  readonly bankBytes: number;
  /** Observers; without them none of their records and bytes exist. */
  readonly observe?: Observers | undefined;
}

/** What is written into a bank before the first step. */
export interface Constant {
  readonly bank: number;
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** Every byte and every record of a model under a policy, decided before any weight is read. */
export interface Plan extends MachinePlan {
  readonly policy: Policy;
  /** The cache of a layer that attends middle tokens, if any does; else of every layer. */
  readonly cache: CacheLayout;
  readonly options: PlanOptions;
  readonly weights: readonly PlacedWeight[];
  readonly constants: readonly Constant[];
  readonly records: readonly (readonly PlannedRecord[])[];
  /** Where weights are staged while they are read, in each bank: the begin of what later holds activations and sessions. */
  readonly staging: readonly number[];
  readonly foldings: readonly Folding[];
  readonly layers: readonly PlannedLayer[];
  /** The bank and address of logits[logitsRows, vocab]; a session's slot there begins with its last row of logits. */
  readonly head: { readonly bank: number; readonly logits: number };
  /** For each unit (the embedding, each layer, the head), what its observers write, in its bank. */
  readonly observed: readonly (Observed & { readonly bank: number })[];
  /** Bytes of weights, of one session's keys and values, and of everything with one session. */
  readonly weightBytes: number;
  readonly cacheBytes: number;
  readonly memoryBytes: number;
}

/** A layer's bank, the byte offset of its cache in a session slot there, and what is where in it. */
interface PlannedLayer {
  readonly bank: number;
  readonly offset: number;
  readonly cache: CacheLayout;
}

/** Bytes below 4 GiB: an end address of exactly 4 GiB would wrap to 0. */
export const LARGEST_BANK = 2 ** 32 - 65536;
export function plan(
  program: Program,
  resolved: ReadonlyMap<string, ResolvedWeight>,
  policy: Policy,
  options: PlanOptions,
): Plan {
  const cache = cacheLayout(policy, program.attention, options.cacheDtype);
  const caches = program.layers.map((_, layer) => cacheLayout(policy, program.attention, options.cacheDtype, layer));
  const units: Unit[] = [
    { operations: program.embed, layer: undefined, cacheBytes: 0 },
    ...program.layers.map((operations, i) => ({ operations, layer: i, cacheBytes: caches[i]?.bytes ?? 0 })),
    { operations: program.head, layer: undefined, cacheBytes: 0 },
  ];
  const dtypeOf = (name: string) => (resolved.get(name) as ResolvedWeight).dtype;
  const widths = {
    ...program.buffers,
    ...attentionBuffers(program, cache),
    ...quantizedBuffer(program, dtypeOf),
  };
  const banks = assignBanks(units, resolved, program, widths, options);
  const headBank = banks.at(-1) as number;

  const bankPlans: BankPlan[] = [];
  const weights: PlacedWeight[] = [];
  const constants: Constant[] = [];
  const addresses: Addresses[] = [];
  const staging: number[] = [];
  const layers: PlannedLayer[] = [];
  const observed: (Observed & { bank: number })[] = [];
  const records: PlannedRecord[][] = [];
  const segments: Segment[] = [];
  let logits = 0;

  for (let bank = 0; bank <= Math.max(...banks); bank++) {
    const mine = units.filter((_, i) => banks[i] === bank);
    const arena = new Arena();
    const control = arena.take(Size.ControlBytes);
    const step = arena.take(stepBytes(options.chunkSize));
    const constant = (bytes: Uint8Array): number => {
      const address = arena.take(bytes.length);
      constants.push({ bank, address, bytes });
      return address;
    };
    const turnsAddress =
      program.positions.kind === "rope" ? constant(turnBytes(program.positions.inverseFrequencies)) : 0;
    const slopes =
      program.positions.kind === "alibi" ? constant(bytesOf(Float32Array.from(program.positions.slopes))) : 0;
    const placed = new Map<string, PlacedWeight>();
    for (const name of mine.flatMap((unit) => unit.operations.flatMap(weightNames))) {
      const weight = resolved.get(name) as ResolvedWeight;
      if (!placed.has(weight.key)) placed.set(weight.key, { ...weight, bank, address: arena.take(weight.bytes) });
    }
    weights.push(...placed.values());
    staging.push(arena.end);
    const buffers = new Map<string, number>();
    for (const [name, width] of Object.entries(widths)) {
      buffers.set(name, arena.take(4 * width * (LOGITS_BUFFERS.has(name) ? options.logitsRows : options.chunkSize)));
    }
    const at: Addresses = {
      buffer: (name) => buffers.get(name) as number,
      weight: (name) => placed.get((resolved.get(name) as ResolvedWeight).key) as PlacedWeight,
      angles: arena.take(8 * program.attention.rotaryDim * options.chunkSize),
      turns: turnsAddress,
      slopes,
      scratch: arena.take(Size.ScratchBytes * Size.MaxSlices),
      work: arena.take(Size.WorkBytes * Size.MaxSlices),
    };
    addresses.push(at);
    for (const unit of mine) {
      const number = units.indexOf(unit);
      observed[number] = { ...placeObserved(arena, number, program, options), bank };
    }

    // A slot: the last row of logits where the head is, then the caches of the bank's layers.
    let slotBytes = 0;
    if (bank === headBank) {
      logits = at.buffer("logits");
      slotBytes = align(4 * program.vocabSize);
    }
    for (const { layer, cacheBytes } of mine) {
      if (layer === undefined) continue;
      layers[layer] = { bank, offset: slotBytes, cache: caches[layer] as CacheLayout };
      slotBytes += cacheBytes;
    }
    bankPlans.push({ control, step, slots: arena.end, slotBytes, initialBytes: 0, maximumBytes: 0 });
  }

  // Records come last: they hold addresses of all the rest.
  for (let i = 0; i < units.length; ) {
    const bank = banks[i] as number;
    const at = addresses[bank] as Addresses;
    const list: PlannedRecord[] = [];
    const quantized: Quantized = {};
    const first = i;
    for (; i < units.length && banks[i] === bank; i++) {
      const { operations, layer } = units[i] as Unit;
      const mine = layer === undefined ? { cache, offset: 0 } : (layers[layer] as PlannedLayer);
      if (layer !== undefined && !list.some((record) => record.cacheBytes))
        list.push(...anglesRecords(program, cache, at));
      const own = operations.flatMap((one) => lower(one, program, mine.cache, mine.offset, at, quantized));
      list.push(...withObservers(own, observed[i] as Observed, program, options.observe, at));
    }
    runAhead(list);
    records.push(list);
    const from = first ? (banks[first - 1] as number) : bank;
    const target = bankPlans[bank] as BankPlan;
    const words = new Uint32Array((list.length + 1) * (Size.RecordBytes / 4));
    for (const [n, record] of list.entries()) words.set(record.words, n * (Size.RecordBytes / 4));
    const arena = new Arena(target.slots);
    const address = arena.take(words.byteLength);
    bankPlans[bank] = { ...target, slots: arena.end };
    constants.push({ bank, address, bytes: bytesOf(words) });
    const width = program.buffers.hidden as number;
    const source = (addresses[from] as Addresses).buffer("hidden");
    const carry = from === bank ? undefined : { bank: from, from: source, to: at.buffer("hidden"), width };
    segments.push({ bank, program: address, carry });
  }
  const finished = bankPlans.map((bank, i) => {
    const largest = Math.max(0, ...weights.filter((weight) => weight.bank === i).map(stagedBytes));
    return finish(bank, (staging[i] as number) + largest, options);
  });
  return {
    policy,
    cache,
    options,
    chunkSize: options.chunkSize,
    banks: finished,
    segments,
    weights,
    constants,
    records,
    staging,
    foldings: foldings(program, resolved),
    layers,
    observed,
    head: { bank: headBank, logits },
    weightBytes: weights.reduce((sum, weight) => sum + weight.bytes, 0),
    cacheBytes: caches.reduce((sum, { valueBytes }) => sum + valueBytes, 0),
    memoryBytes: finished.reduce((sum, bank) => sum + bank.initialBytes, 0),
  };
}

/** Bytes with one session and with all of them, as far as a memory can hold them; `loading`: what reading weights needs. */
function finish(bank: BankPlan, loading: number, options: PlanOptions): BankPlan {
  const initialBytes = Math.max(loading, bank.slots + bank.slotBytes);
  const all = Math.max(loading, bank.slots + options.maxSessions * bank.slotBytes);
  return { ...bank, initialBytes, maximumBytes: Math.max(initialBytes, Math.min(options.bankBytes, all)) };
}

function turnBytes(inverseFrequencies: readonly number[]): Uint8Array {
  return bytesOf(BigUint64Array.from(inverseFrequencies.map(turns)));
}

function bytesOf(array: Uint32Array | Float32Array | BigUint64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
