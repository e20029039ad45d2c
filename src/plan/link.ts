import { Size } from "../../assembly/layout.ts";
import { lower, type Quantized, runAhead } from "./lower.ts";
import { anglesRecord } from "./lower_attention.ts";
import { withObservers } from "./observers.ts";
import type { Draft, Placement, Unit } from "./place.ts";
import type { PlannedRecord } from "./record.ts";

/** Records of consecutive units of one bank, which run in one call. */
export interface Stretch {
  readonly units: readonly Unit[];
  readonly records: readonly PlannedRecord[];
}

/** The records of a bank's units, stretch by stretch. Angles are computed before the first layer of a stretch. */
export function recordsOf(draft: Draft, placement: Placement, units: readonly Unit[]): Stretch[] {
  return stretches(units).map((stretch) => {
    const records: PlannedRecord[] = [];
    const quantized: Quantized = {};
    const first = stretch.find(({ layer }) => layer !== undefined);
    for (const unit of stretch) {
      if (unit === first) {
        records.push(...placement.angles.map(({ key, turns, out }) => anglesRecord(key, turns, out)));
      }
      records.push(...recordsOfUnit(draft, placement, unit, quantized));
    }
    runAhead(records);
    return { units: stretch, records };
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
function stretches(units: readonly Unit[]): Unit[][] {
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
