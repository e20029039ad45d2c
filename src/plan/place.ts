import { Size } from "../../assembly/layout.ts";
import { Arena, align } from "../machine/arena.ts";
import { choosingBytes } from "../machine/code_sizes.ts";
import { Scores } from "../machine/scores.ts";
import { LOGITS_BUFFERS } from "../models/buffers.ts";
import { hasHead } from "../models/headless.ts";
import { turns } from "../models/positions.ts";
import {
  type AttentionOperation,
  attentionOf,
  headsOf,
  type Operation,
  type Program,
  weightNames,
} from "../models/program.ts";
import type { CacheLayout } from "./cache.ts";
import type { Widths } from "./lower.ts";
import { anglesOf } from "./lower_attention.ts";
import { gatesOf } from "./middle.ts";
import { type Observed, type Observers, placeObserved } from "./observers.ts";
import type { Policy } from "./policy.ts";
import type { Addresses, AngleKey } from "./record.ts";
import { type PlacedWeight, type ResolvedWeight, stagedBytes } from "./weights.ts";

/** Operations that must stay together: the embedding, a layer, the head. */
export interface Unit {
  /** 0 is the embedding, i layer i − 1, the last one the head. */
  readonly number: number;
  readonly operations: readonly Operation[];
  readonly layer: number | undefined;
}

/** What a placer has to know about a model: everything that is decided before addresses are. */
export interface Draft {
  readonly program: Program;
  readonly resolved: ReadonlyMap<string, ResolvedWeight>;
  /** For every layer. */
  readonly layers: readonly { readonly policy: Policy; readonly cache: CacheLayout }[];
  readonly widths: Widths;
  readonly chunkSize: number;
  readonly logitsRows: number;
  readonly observe?: Observers | undefined;
}

/** What is written into a bank before the first step. */
export interface Constant {
  readonly bank: number;
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** Angles that a bank's steps compute: from which turns, and where to. */
export interface PlacedAngles {
  readonly key: AngleKey;
  readonly turns: number;
  readonly out: number;
}

/**
 * Where everything of one bank is, except its records, which contain these addresses, and the session slots after them.
 */
export interface Placement {
  readonly control: number;
  readonly step: number;
  readonly at: Addresses;
  readonly constants: readonly Constant[];
  readonly weights: readonly PlacedWeight[];
  readonly angles: readonly PlacedAngles[];
  /** By the number of the unit. */
  readonly observed: ReadonlyMap<number, Observed>;
  /** Byte offsets of the layers' caches in a session slot, and its size. */
  readonly offsets: ReadonlyMap<number, number>;
  readonly slotBytes: number;
  /** Where tokens are chosen, if the head is here. */
  readonly scores: number;
  /** Where weights are staged while they are read: the first address that no weight takes, and the number of bytes. */
  readonly staging: number;
  readonly stagingBytes: number;
  readonly end: number;
}

/** The units of a program, in order. */
export function unitsOf(program: Program): Unit[] {
  return [program.embed, ...program.layers, program.head].map((operations, number) => {
    const isLayer = number > 0 && number <= program.layers.length;
    return { number, operations, layer: isLayer ? number - 1 : undefined };
  });
}

/** Gives everything of a bank with these units an address. */
export function placeBank(draft: Draft, bank: number, units: readonly Unit[]): Placement {
  const { program, chunkSize } = draft;
  const arena = new Arena();
  const control = arena.take(Size.ControlBytes);
  const step = arena.take(stepBytes(chunkSize));
  const constants: Constant[] = [];
  const constant = (array: Float32Array | BigUint64Array): number => {
    const address = arena.take(array.byteLength);
    constants.push({ bank, address, bytes: new Uint8Array(array.buffer) });
    return address;
  };
  const layers = units.flatMap(({ layer }) => layer ?? []);
  const attentions = layers.flatMap((layer) => attentionOf(program, layer) ?? []);
  const slopes = placeSlopes(attentions, constant);
  const gates = placeGates(draft, layers, constant);
  const frequencies = placeTurns(draft, layers, constant);
  const weights = placeWeights(draft, bank, units, arena);
  const staging = arena.end;
  const buffers = new Map<string, number>();
  for (const [name, width] of Object.entries(draft.widths)) {
    buffers.set(name, arena.take(4 * width * (LOGITS_BUFFERS.has(name) ? draft.logitsRows : chunkSize)));
  }
  const angles = [...frequencies.values()].map(({ key, turns }): PlacedAngles => {
    return { key, turns, out: arena.take(16 * key.positions.inverseFrequencies.length * chunkSize) };
  });
  const middle = layers.map((layer) => draft.layers[layer]?.cache.middle).find((middle) => middle !== undefined);
  const outs = new Map(angles.map(({ key, out }) => [nameOf(key), out]));
  const at: Addresses = {
    buffer: (name) => buffers.get(name) as number,
    weight: (name) => weights.get((draft.resolved.get(name) as ResolvedWeight).key) as PlacedWeight,
    angles: (key) => outs.get(nameOf(key)) as number,
    slopes: (positions) => (positions.kind === "alibi" ? (slopes.get(`${positions.slopes}`) as number) : 0),
    gates: (layer) => gates.get(layer) ?? 0,
    scratch: arena.take(Size.ScratchBytes * Size.MaxSlices),
    recallWork: middle ? arena.take(choosingBytes(middle.recallBlocks) * Size.MaxSlices) : 0,
    work: arena.take(Size.WorkBytes * Size.MaxSlices),
  };
  const observed = new Map(units.map(({ number }) => [number, placeObserved(arena, number, program, draft)]));
  const { offsets, slotBytes } = placeSlot(draft, units);
  const scores = arena.take(hasHeadHere(program, units) ? Scores.bytes(program.vocabSize) : 0);
  const stagingBytes = Math.max(0, ...[...weights.values()].map(stagedBytes));
  const all = {
    weights: [...weights.values()],
    angles,
    constants,
    observed,
    offsets,
    slotBytes,
    scores,
    staging,
    stagingBytes,
  };
  return { control, step, at, ...all, end: arena.end };
}

/** Places every weight that the units name, once. */
function placeWeights({ resolved }: Draft, bank: number, units: readonly Unit[], arena: Arena) {
  const placed = new Map<string, PlacedWeight>();
  for (const name of units.flatMap((unit) => unit.operations.flatMap(weightNames))) {
    const weight = resolved.get(name) as ResolvedWeight;
    if (!placed.has(weight.key)) placed.set(weight.key, { ...weight, bank, address: arena.take(weight.bytes) });
  }
  return placed;
}

/** Places the slopes of every kind of ALiBi, by their values. */
function placeSlopes(attentions: readonly AttentionOperation[], constant: (array: Float32Array) => number) {
  const slopes = new Map<string, number>();
  for (const { positions } of attentions) {
    if (positions.kind !== "alibi" || slopes.has(`${positions.slopes}`)) continue;
    slopes.set(`${positions.slopes}`, constant(Float32Array.from(positions.slopes)));
  }
  return slopes;
}

/** Places the gates of every layer that attends to middle keys. */
function placeGates(draft: Draft, layers: readonly number[], constant: (array: Float32Array) => number) {
  return new Map(
    layers.flatMap((layer): [number, number][] => {
      const middle = draft.layers[layer]?.cache.middle;
      if (!middle) return [];
      const gates = gatesOf(middle, layer, headsOf(draft.program, layer)).map((gate) => 2 ** gate);
      return [[layer, constant(Float32Array.from(gates))]];
    }),
  );
}

/** Places the turns of every distinct key of angles of these layers; equal frequencies share theirs. */
function placeTurns(draft: Draft, layers: readonly number[], constant: (array: BigUint64Array) => number) {
  const tables = new Map<string, number>();
  const found = new Map<string, { key: AngleKey; turns: number }>();
  for (const layer of layers) {
    const attention = attentionOf(draft.program, layer);
    if (!attention) continue;
    for (const key of anglesOf(attention, (draft.layers[layer] as Draft["layers"][number]).cache)) {
      if (found.has(nameOf(key))) continue;
      const { inverseFrequencies } = key.positions;
      const name = `${inverseFrequencies}`;
      const table = tables.get(name) ?? constant(BigUint64Array.from(inverseFrequencies.map(turns)));
      tables.set(name, table);
      found.set(nameOf(key), { key, turns: table });
    }
  }
  return found;
}

/** Angles of one name are equal. */
function nameOf({ positions, clamp, limit }: AngleKey): string {
  return `${clamp} ${limit} ${positions.factor ?? 1} ${positions.inverseFrequencies}`;
}

/** A session slot: the last row of logits if the head is here, then the caches of the bank's layers. */
function placeSlot({ program, layers }: Draft, units: readonly Unit[]) {
  const offsets = new Map<number, number>();
  let slotBytes = hasHeadHere(program, units) ? align(4 * program.vocabSize) : 0;
  for (const { layer } of units) {
    if (layer === undefined) continue;
    offsets.set(layer, slotBytes);
    slotBytes += layers[layer]?.cache.bytes ?? 0;
  }
  return { offsets, slotBytes };
}

function hasHeadHere(program: Program, units: readonly Unit[]): boolean {
  return hasHead(program) && units.some(({ number }) => number === program.layers.length + 1);
}

/** The step: its header, the row table, the rows that want logits. */
function stepBytes(chunkSize: number): number {
  return Size.StepHeaderBytes + chunkSize * (Size.RowBytes + 4);
}
