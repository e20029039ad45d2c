import { Size } from "../../assembly/layout.ts";
import { Op, Read } from "../../assembly/op.ts";
import type { Bank } from "./bank.ts";
import type { Kernels } from "./kernels.ts";
import { Machine } from "./machine.ts";

/** More than a cache holds. */
const STRETCH = 256 * 2 ** 20;
const ROUNDS = 7;
const BEGIN = 4096;

/**
 * Bytes per second that so many threads read from memory, each a stretch of its own from front to back: the roofline of
 * decoding. Takes 256 MiB and about half a second.
 */
export async function readBandwidth(kernels: Kernels, threads: number): Promise<number> {
  const bytes = BEGIN + STRETCH;
  const plan = { control: 0, step: 64, slots: bytes, slotBytes: 0, initialBytes: bytes, maximumBytes: bytes };
  const machine = new Machine(kernels, { banks: [plan], segments: [], chunkSize: 1 }, threads);
  const bank = machine.banks[0] as Bank;
  // Pages that were never written to are all the same one.
  bank.bytes(BEGIN, STRETCH).fill(1);
  const record = new Uint32Array(Size.RecordBytes / 4);
  record[0] = Op.Read;
  record[Read.src] = BEGIN;
  record[Read.bytes] = STRETCH;
  record[Read.results] = 1024;
  // Other threads need a few milliseconds to start.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const times = Array.from({ length: ROUNDS }, () => {
    const begun = performance.now();
    machine.execute(bank, 512, record, true);
    return performance.now() - begun;
  });
  return STRETCH / ((times.sort((a, b) => a - b)[ROUNDS >> 1] as number) / 1000);
}
