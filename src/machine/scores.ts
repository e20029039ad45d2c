import { Survey } from "../../assembly/survey.ts";
import { exp, log } from "../base/math.ts";
import { align } from "./arena.ts";
import type { Bank } from "./bank.ts";

/** exp2's polynomial, from the highest power down. see: exp2 in assembly/math.ts */
const TERMS = [
  1.5353361883195e-4, 1.339887440266574e-3, 9.61843735767464e-3, 5.550332471162809e-2, 2.402264791363012e-1,
  6.931472028550421e-1, 1,
];

/** ln 2. */
const LN2 = Math.LN2;

/** Σ w and Σ w · ln w of some weights. */
export interface Sums {
  readonly weights: number;
  readonly logs: number;
}

/** Where the parts of the scores' area are; addresses in bytes. */
function layout(address: number, size: number) {
  const blocks = Math.ceil(size / Survey.Block);
  const values = address;
  const maxima = values + 4 * blocks * Survey.Block;
  const sums = align(maxima + 4 * blocks);
  const table = sums + blocks * Survey.SumBytes;
  const mask = align(table + 4 * TERMS.length);
  const counts = align(mask + 4 * Math.ceil(size / 32));
  const entries = counts + Survey.CountBytes;
  const work = entries + 8 * size;
  return { blocks, values, maxima, sums, table, mask, counts, entries, work, end: work + 8 * size };
}

type Views = ReturnType<typeof viewsOf>;

function viewsOf({ memory: { buffer } }: Bank, at: ReturnType<typeof layout>, size: number) {
  return {
    buffer,
    values: new Float32Array(buffer, at.values, size),
    maxima: new Float32Array(buffer, at.maxima, at.blocks),
    sums: new Float64Array(buffer, at.sums, 2 * at.blocks),
    mask: new Uint32Array(buffer, at.mask, Math.ceil(size / 32)),
  };
}

/**
 * The scores f32[size] that a token is chosen by, in a bank, and what the kernels say of them (assembly/choose.ts).
 * Its views of Wasm memory are valid until the memory grows.
 */
export class Scores {
  readonly size: number;
  readonly #bank: Bank;
  readonly #at: ReturnType<typeof layout>;
  #views: Views;

  /** @param address of `Scores.bytes(size)` bytes, none where there is no vocabulary */
  constructor(bank: Bank, address: number, size: number) {
    this.size = size;
    this.#bank = bank;
    this.#at = layout(address, size);
    this.#views = viewsOf(bank, this.#at, size);
    if (size > 0) bank.floats(this.#at.table, TERMS.length).set(TERMS);
  }

  /** Bytes that scores take. */
  static bytes(size: number): number {
    return layout(0, size).end;
  }

  /** Made anew only when the memory has grown: a token would leave several of them to the collector. */
  get #now(): Views {
    if (this.#views.buffer !== this.#bank.memory.buffer) this.#views = viewsOf(this.#bank, this.#at, this.size);
    return this.#views;
  }

  /** f32[size]. After a change, call `changed`. */
  get values(): Float32Array {
    return this.#now.values;
  }

  /** The largest score of every block of Survey.Block scores, f32[blocks]. */
  get maxima(): Float32Array {
    return this.#now.maxima;
  }

  /** Takes a copy of logits f32[size]; returns ln Σ e^logit in nats, within 1e-6. */
  take(logits: Float32Array): number {
    const { blocks, values, maxima, sums, table } = this.#at;
    let from = logits.byteOffset;
    if (logits.buffer !== this.#bank.memory.buffer) {
      this.values.set(logits);
      from = values;
    }
    this.#bank.kernels.survey(values, from, this.size, maxima, sums, table, 0, blocks);
    const { sums: parts, maxima: largest } = this.#now;
    let most = -Infinity;
    for (let block = 0; block < blocks; block++) most = Math.max(most, largest[block] as number);
    let sum = 0;
    for (let block = 0; block < blocks; block++) {
      sum += (parts[2 * block] as number) * exp((largest[block] as number) - most);
    }
    return most + log(sum);
  }

  /** To be called when scores have changed. */
  changed(): void {
    this.#bank.kernels.findMaxima(this.#at.values, this.#at.blocks, this.#at.maxima);
  }

  /** Forbids every id that is not allowed by `mask`: bit id % 32 of word id >> 5 is 1. */
  allowOnly(mask: Uint32Array): void {
    const words = this.#now.mask.fill(0);
    words.set(mask.subarray(0, words.length));
    this.#bank.kernels.forbidOthers(this.#at.values, this.size, this.#at.mask);
  }

  /** Sums over all scores below `above`, each w = e^((score − largest) / temperature) in f32. */
  below(above: number, largest: number, temperature: number): Sums {
    const { blocks, values, sums, table } = this.#at;
    this.#bank.kernels.sumBelow(values, blocks, largest, 1 / (LN2 * temperature), above, table, sums);
    const parts = this.#now.sums;
    let [weights, logs] = [0, 0];
    for (let i = 0; i < parts.length; i += 2) {
      weights += parts[i] as number;
      logs += parts[i + 1] as number;
    }
    return { weights, logs: LN2 * logs };
  }

  /**
   * The ids of the scores from `least` (above −Infinity) on and below `above` (NaN: all), u32 pairs {id, its key}: the highest
   * score first, equal ones in the order of their ids. They are kept behind the `kept` pairs of calls before.
   */
  rank(least: number, above: number, kept: number): Uint32Array {
    const { blocks, values, maxima, entries, work, counts } = this.#at;
    const at = entries + 8 * kept;
    const found = this.#bank.kernels.rank(values, blocks, maxima, least, above, at, work, counts);
    return new Uint32Array(this.#bank.memory.buffer, entries, 2 * (kept + found));
  }
}
