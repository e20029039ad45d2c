import { Size } from "../../assembly/layout.ts";
import { ModelError, mismatch } from "../errors.ts";
import { Arena, align } from "../machine/arena.ts";
import { LOGITS_BUFFERS } from "./lower.ts";
import { placeObserved } from "./observing.ts";
import type { PlanOptions } from "./plan.ts";
import { type Operation, type Program, weightNames } from "./program.ts";
import { type ResolvedWeight, STAGED, STAGING_BYTES } from "./weights.ts";

/** Operations that must stay together: the embedding, a layer, the head. */
export interface Unit {
  readonly operations: readonly Operation[];
  readonly layer: number | undefined;
  /** Bytes of the layer's cache. */
  readonly cacheBytes: number;
}

/** Banks are few: engines slow down with many memories. */
const MOST_BANKS = 8;

/**
 * The bank of every unit: as many layers in each as fit, in order. A tied head goes back to the bank of its table, so that
 * the table is kept once.
 */
export function assignBanks(
  units: readonly Unit[],
  resolved: ReadonlyMap<string, ResolvedWeight>,
  program: Program,
  widths: Readonly<Record<string, number>>,
  options: PlanOptions,
): number[] {
  const overhead = fixedBytes(units, program, widths, options);
  const banks: number[] = [];
  const keys: Set<string>[] = [new Set()];
  let used = overhead;
  for (const [i, unit] of units.entries()) {
    const mine = new Map(unit.operations.flatMap(weightNames).map((name) => [resolved.get(name)?.key as string, name]));
    const home = keys.findIndex((bank) => [...mine.keys()].some((key) => bank.has(key)));
    const fresh = [...mine].filter(([key]) => !keys.some((bank) => bank.has(key)));
    const cost = fresh.reduce((sum, [, name]) => sum + align((resolved.get(name) as ResolvedWeight).bytes), 0);
    const observers = new Arena();
    placeObserved(observers, i, program, options);
    const bytes = cost + observers.end + unit.cacheBytes;
    if (home < 0 && used + bytes > options.bankBytes && used > overhead) {
      keys.push(new Set());
      used = overhead;
    }
    const bank = home < 0 ? keys.length - 1 : home;
    for (const [key] of fresh) keys[bank]?.add(key);
    banks.push(bank);
    if (bank === keys.length - 1) used += bytes;
    if (used > options.bankBytes || keys.length > MOST_BANKS) {
      const total = [...resolved.values()].reduce((sum, weight) => sum + weight.bytes, 0);
      const needed = units.reduce((sum, { cacheBytes }) => sum + cacheBytes, total);
      throw new ModelError(
        mismatch(
          "memory",
          `at most ${MOST_BANKS} banks of ${options.bankBytes} bytes, each with whole layers`,
          `${needed} bytes of weights and cache`,
        ),
      );
    }
  }
  return banks;
}

/** What every bank needs beside weights and caches, at most. */
function fixedBytes(
  units: readonly Unit[],
  program: Program,
  widths: Readonly<Record<string, number>>,
  options: PlanOptions,
): number {
  const arena = new Arena(Size.ControlBytes);
  arena.take(stepBytes(options.chunkSize));
  for (const [name, width] of Object.entries(widths)) {
    arena.take(4 * width * (LOGITS_BUFFERS.has(name) ? options.logitsRows : options.chunkSize));
  }
  arena.take(8 * program.attention.rotaryDim * options.chunkSize);
  arena.take((Size.ScratchBytes + Size.WorkBytes) * Size.MaxSlices);
  arena.take(4 * (program.attention.rotaryDim + program.attention.heads));
  arena.take(4 * program.vocabSize);
  // No operation becomes more than 9 records.
  arena.take(units.reduce((sum, unit) => sum + 9 * unit.operations.length + 2, 0) * Size.RecordBytes);
  return arena.end + STAGED.numbers + align(4 * Math.max(...Object.values(widths))) + STAGING_BYTES;
}

/** The step: its header, the row table, the rows that want logits. */
export function stepBytes(chunkSize: number): number {
  return Size.StepHeaderBytes + chunkSize * (Size.RowBytes + 4);
}
