import { ModelError, mismatch } from "../base/errors.ts";
import type { BankPlan } from "../machine/bank.ts";
import { weightNames } from "../models/program.ts";
import type { Draft, Unit } from "./place.ts";

/** Banks should be few: engines slow down with many memories. */
const MOST_BANKS = 8;

/** Units of one bank, linked. */
export interface LinkedUnits {
  readonly units: readonly Unit[];
  readonly bank: Pick<BankPlan, "initialBytes">;
}

/**
 * The banks: as many layers in each as fit, in order, by trial. A head that shares its matrix with the embedding is in the
 * first bank with it, so that the matrix is kept once.
 */
export function assignBanks<T extends LinkedUnits>(
  draft: Draft,
  units: readonly Unit[],
  bankBytes: number,
  link: (bank: number, units: readonly Unit[]) => T,
): T[] {
  const head = units.at(-1) as Unit;
  const shared = keysOf(draft, head).some((key) => keysOf(draft, units[0] as Unit).includes(key));
  const home = shared ? [head] : [];
  const others = shared ? units.slice(0, -1) : units;
  const banks: T[] = [];
  for (let first = 0; first < others.length; ) {
    const bank = (count: number) => [...others.slice(first, first + count), ...(first === 0 ? home : [])];
    let largest: T | undefined;
    const count = most(others.length - first, (count) => {
      const linked = link(banks.length, bank(count));
      if (linked.bank.initialBytes > bankBytes) return false;
      largest = linked;
      return true;
    });
    if (!largest || banks.length === MOST_BANKS) throw tooLarge(draft, bankBytes);
    banks.push(largest);
    first += count;
  }
  return banks;
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
