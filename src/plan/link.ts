import { Size } from "../../assembly/layout.ts";
import { Attention, Op } from "../../assembly/op.ts";
import { lower, type Quantized, runAhead } from "./lower.ts";
import { anglesRecord } from "./lower_attention.ts";
import { withObservers } from "./observers.ts";
import type { Draft, Placement, Unit } from "./place.ts";
import type { PlannedRecord } from "./record.ts";

/** Records of consecutive units of one bank, which run in one call. */
export interface Stretch {
  /** Number of the first of these units. */
  readonly first: number;
  /** Whether it begins with that one, or goes on where the one before it was cut. */
  readonly begins: boolean;
  readonly records: readonly PlannedRecord[];
  /** The layer whose middle keys have to be brought after it. */
  readonly gathers: number | undefined;
}

/**
 * The records of a bank's units, stretch by stretch. Angles are computed before the first layer of consecutive units; these
 * are cut where middle keys have been chosen that are brought from elsewhere.
 */
export function recordsOf(draft: Draft, placement: Placement, units: readonly Unit[]): Stretch[] {
  return consecutive(units).flatMap((some) => {
    const found: Stretch[] = [];
    let records: PlannedRecord[] = [];
    const end = (gathers?: number) => {
      runAhead(records);
      found.push({ first: some[0]?.number as number, begins: found.length === 0, records, gathers });
      records = [];
    };
    const quantized: Quantized = {};
    const first = some.find(({ layer }) => layer !== undefined);
    for (const unit of some) {
      if (unit === first) {
        records.push(...placement.angles.map(({ key, turns, out }) => anglesRecord(key, turns, out)));
      }
      for (const record of recordsOfUnit(draft, placement, unit, quantized)) {
        records.push(record);
        if (record.op === Op.Follow && record.words[Attention.gathered]) end(unit.layer);
      }
    }
    end();
    return found;
  });
}

function recordsOfUnit(draft: Draft, placement: Placement, unit: Unit, quantized: Quantized): PlannedRecord[] {
  const { program, widths, layers, observe } = draft;
  const { at, offsets, observed } = placement;
  const { layer, number } = unit;
  const offset = layer === undefined ? undefined : offsets.get(layer);
  const mine = layer === undefined ? undefined : layers[layer];
  const place = mine && { layer: layer as number, cache: mine.cache, offset: offset as number };
  const own = unit.operations.flatMap((operation) => lower(operation, place, { widths, at, quantized }));
  return withObservers(own, observed.get(number) ?? {}, program, observe, at);
}

/** Groups consecutive units. */
function consecutive(units: readonly Unit[]): Unit[][] {
  const found: Unit[][] = [];
  for (const unit of units) {
    const last = found.at(-1);
    if (last && last.at(-1)?.number === unit.number - 1) last.push(unit);
    else found.push([unit]);
  }
  return found;
}

/** Bytes of this many records and the one that ends them. */
export function programBytes(records: number): number {
  return (records + 1) * Size.RecordBytes;
}

/** Records as they are stored in memory. */
export function bytesOf(records: readonly PlannedRecord[]): Uint8Array {
  const words = new Uint32Array(programBytes(records.length) / 4);
  for (const [n, record] of records.entries()) words.set(record.words, n * (Size.RecordBytes / 4));
  return new Uint8Array(words.buffer);
}
