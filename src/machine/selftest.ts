import { blockBytes, Format, Size, Step, Tuning } from "../../assembly/layout.ts";
import { Op, Pack, Span } from "../../assembly/op.ts";
import { messageOf } from "../base/realm.ts";
import type { KernelExports, KernelModule } from "./kernel_exports.ts";
import { entryOf, MATRICES, type Part, STORED } from "./selftest_inputs.ts";
import { TestProgram } from "./selftest_program.ts";
import { writeStep } from "./selftest_step.ts";

/**
 * What the programs of selftest_program.ts compute, as XXH64 over all of their buffers. The kernels themselves are compared
 * with an f64 reference in the tests; these numbers say that an engine runs them as the engines did on which those tests
 * passed.
 */
export const KNOWN_ANSWERS: Readonly<Record<Part, bigint>> = {
  common: 0xc1162a288fad860en,
  f32: 0x13c8952780f60ec4n,
  bf16: 0x7cdcc29d5239dbben,
  f16: 0x4714cdad2518ce29n,
  q8: 0x4dc358de600fcaf4n,
  q7: 0xe7a786e7476f9a2an,
  q4: 0x13d5b4b0cd78d1d2n,
  q8_0: 0x5cb4a25f75eaf8a5n,
  q6_k: 0x3b316843b30b9519n,
  q5_0: 0x091661241a6f2f2cn,
  q5_k: 0xad4308d9442051dcn,
  q4_0: 0xb2e2c3ff0d54657en,
  q4_k: 0x55fa3f921f397ba4n,
  q2_k: 0x15e17cb3dd343aadn,
  "cache f32": 0xd614318735f3c2ccn,
  "cache bf16": 0xa8d8444438c7009n,
  "cache int8": 0x9319bb56746e2403n,
  recall: 0x6cc584ac1faf0e8cn,
};

/** All parts. */
export const PARTS = Object.keys(KNOWN_ANSWERS) as Part[];

/** Enough for engines to compile the kernels anew, with better compilers: some need a few dozen calls. */
const RUNS = 8;

/**
 * Runs the kernels of some parts on values at their extremes, first cold, then hot. Returns the first failure; undefined if
 * the answers are right.
 */
export function selfTest(kernels: KernelModule, parts: readonly Part[]): string | undefined {
  try {
    const memory = new WebAssembly.Memory({ initial: 28, maximum: 28, shared: kernels.shared });
    const exports = kernels.instantiate(memory);
    for (const part of parts) {
      const known = KNOWN_ANSWERS[part];
      const answers = knownAnswers(exports, memory, part);
      const run = 1 + answers.findIndex((answer) => answer !== known);
      if (run === 0) continue;
      return `computes ${answers[run - 1]?.toString(16)} for ${known.toString(16)} in run ${run} of ${part}`;
    }
    return undefined;
  } catch (error) {
    return `fails its test: ${messageOf(error)}`;
  }
}

/** The hash of every buffer of a part after each run. */
export function knownAnswers(exports: KernelExports, memory: WebAssembly.Memory, part: Part): bigint[] {
  new Uint8Array(memory.buffer).fill(0);
  const test = new TestProgram(memory, part);
  const { view, arena, scratch, slot } = test;
  const packing = new Packing(exports, test, entryOf(MATRICES, part));
  const notes = arena.take(4096);
  const program = test.writeRecords();
  packing.record = arena.take(Size.RecordBytes);
  const step = writeStep(test);
  const digest = arena.take(Size.HashBytes);
  const saved = test.cache.slice();
  const scratchBytes = new Uint8Array(memory.buffer, scratch, 2 * Size.ScratchBytes);
  const hashOf = (from: number, to: number, piece: number): bigint => {
    exports.hashInit(digest);
    for (let at = from; at < to; at += piece) exports.hashUpdate(digest, at, Math.min(piece, to - at));
    return exports.hashDigest(digest);
  };
  return Array.from({ length: RUNS }, (_, number) => {
    test.cache.set(saved);
    // Every way of being quick must give the same.
    view.setUint32(step + 4 * Step.tuning, 1 + (number % 4) + (number & 4 ? Tuning.Quads : 0), true);
    for (const buffer of test.buffers) buffer.fill(0x55);
    const records = runAll(exports, test, program, step, number);
    let end = notes;
    const note = (value: bigint): void => {
      view.setBigUint64(end, value, true);
      end += 8;
    };
    packing.run(step, note);
    note(BigInt(records));
    for (const length of [3, 12, 31, 32, 40, 47]) note(hashOf(slot, slot + length, 7));
    // The keys counted in scratch are the same for any slices; what else it holds is not.
    note(view.getBigUint64(scratch, true) + view.getBigUint64(scratch + Size.ScratchBytes, true));
    scratchBytes.fill(0);
    return BigInt.asUintN(64, hashOf(slot, program, 4099));
  });
}

/** Runs every record, in odd runs as a step does, in others in two slices, the second one first; returns how many. */
function runAll({ run, execute }: KernelExports, test: TestProgram, program: number, step: number, number: number) {
  if (number & 1) return run(program, step, 0, 0, 1);
  const records = test.words.length - 1;
  for (let i = 0; i < records; i++) {
    for (const slice of [1, 0]) execute(program + i * Size.RecordBytes, step, slice, 2);
  }
  return records;
}

/** What packing into a format and expand make of stored numbers, and say of those that are not finite. */
class Packing {
  /** Address of the record that it writes. */
  record = 0;
  readonly #kernels: KernelExports;
  readonly #test: TestProgram;
  readonly #raw: number;
  readonly #packs: readonly { readonly from: Format; readonly to: Format; readonly dst: number }[];

  constructor(kernels: KernelExports, test: TestProgram, to: Format | undefined) {
    this.#kernels = kernels;
    this.#test = test;
    this.#raw = test.floats(64);
    const froms = to === undefined ? [] : STORED;
    this.#packs = froms.map((from) => ({ from, to: to as Format, dst: test.arena.take(2 * blockBytes(Format.Q8)) }));
  }

  run(step: number, note: (value: bigint) => void): void {
    const { execute, expand, firstNonFinite } = this.#kernels;
    const { view, results, work } = this.#test;
    const raw = this.#raw;
    for (const { from, to, dst } of this.#packs) {
      for (const bad of [NaN, Infinity, 2 ** 128 - 2 ** 119, -65520, 65520, 65504, 0, 2]) {
        view.setFloat32(raw + 4 * 9, bad, true);
        const words = { [Pack.dst]: dst, [Pack.src]: raw, [Pack.firstRow]: 0, [Pack.rows]: 3, [Pack.k]: 7 };
        const rest = { [Pack.source]: from, [Pack.target]: to, [Pack.results]: results, [Pack.work]: work };
        const fields = Object.entries({ 0: Op.Pack, 1: Span.All, ...words, ...rest, [Pack.columns]: 0 });
        for (const [word, value] of fields) view.setUint32(this.record + 4 * Number(word), value, true);
        execute(this.record, step, 0, 1);
        note(BigInt(view.getInt32(results, true) + 64 * expand(dst, raw, 15, from)));
        note(BigInt(firstNonFinite(raw, 20) + 64 * firstNonFinite(raw + 36, 5)));
      }
    }
  }
}
