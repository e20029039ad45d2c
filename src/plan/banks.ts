import { ModelError, mismatch } from "../base/errors.ts";
import { Arena } from "../machine/arena.ts";
import { weightNames } from "../models/program.ts";
import { placeFinalNorm } from "./final_norm.ts";
import { programBytes, recordsOf } from "./link.ts";
import { type Draft, placeBank, type Unit } from "./place.ts";

/** Banks should be few: engines slow down with many memories. */
const MOST_BANKS = 8;

/**
 * The units of every bank: as many layers in each as fit, in order. A head that shares its matrix with the embedding is
 * in the first bank with it, so that the matrix is kept once.
 */
export function assignBanks(draft: Draft, units: readonly Unit[], bankBytes: number): Unit[][] {
  const head = units.at(-1) as Unit;
  const shared = keysOf(draft, head).some((key) => keysOf(draft, units[0] as Unit).includes(key));
  const home = shared ? [head] : [];
  const others = shared ? units.slice(0, -1) : units;
  const banks: Unit[][] = [];
  for (let first = 0; first < others.length; ) {
    const bank = (count: number) => [...others.slice(first, first + count), ...(first === 0 ? home : [])];
    const count = most(others.length - first, (count) => bankSize(draft, bank(count)) <= bankBytes);
    if (count === 0 || banks.length === MOST_BANKS) throw tooLarge(draft, bankBytes);
    banks.push(bank(count));
    first += count;
  }
  return banks;
}

/** Bytes of a bank with one session, by a dry run of its placement. */
function bankSize(draft: Draft, units: readonly Unit[]): number {
  const placement = placeBank(draft, 0, units);
  const arena = new Arena(placement.end);
  for (const { records } of recordsOf(draft, placement, units)) arena.take(programBytes(records.length));
  placeFinalNorm(draft, placement, 0, units, arena);
  return initialBytes(placement, arena.end);
}

/** What a bank needs while weights are read, and then with one session; `slots` is where the session slots start. */
export function initialBytes(
  { staging, stagingBytes, slotBytes }: { staging: number; stagingBytes: number; slotBytes: number },
  slots: number,
): number {
  return Math.max(staging + stagingBytes, slots + slotBytes);
}

/** The largest count from 0 to `end` that fits; if a count fits, smaller ones do. */
function most(end: number, fits: (count: number) => boolean): number {
  if (fits(end)) return end;
  let [least, beyond] = [0, end];
  while (beyond - least > 1) {
    const middle = (least + beyond) >> 1;
    if (fits(middle)) least = middle;
    else beyond = middle;
  }
  return least;
}

function keysOf({ resolved }: Draft, { operations }: Unit): string[] {
  return operations.flatMap(weightNames).flatMap((name) => resolved.get(name)?.key ?? []);
}

function tooLarge({ resolved, layers }: Draft, bankBytes: number): ModelError {
  const weights = [...resolved.values()].reduce((sum, weight) => sum + weight.bytes, 0);
  const needed = layers.reduce((sum, { cache }) => sum + cache.bytes, weights);
  const expected = `at most ${MOST_BANKS} banks of ${bankBytes} bytes, each with whole layers`;
  return new ModelError(mismatch("memory", expected, `${needed} bytes of weights and cache`));
}
