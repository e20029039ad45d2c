import type { KernelExports } from "./kernel_exports.ts";
import type { Kernels } from "./kernels.ts";

/** One memory and where things lie in it; addresses in bytes. */
export interface BankPlan {
  readonly control: number;
  /** Header, row table, then u32[chunkSize] of rows that want logits. */
  readonly step: number;
  /** Session slots: the first one's address, and the bytes of each. */
  readonly slots: number;
  readonly slotBytes: number;
  /** Bytes needed with one session slot, and with all of them. */
  readonly initialBytes: number;
  readonly maximumBytes: number;
}

const PAGE = 65536;

/** A memory with the kernels instantiated over it. */
export class Bank {
  readonly memory: WebAssembly.Memory;
  readonly kernels: KernelExports;
  readonly plan: BankPlan;

  constructor(kernels: Kernels, plan: BankPlan) {
    this.plan = plan;
    this.memory = new WebAssembly.Memory({
      initial: Math.ceil(plan.initialBytes / PAGE),
      maximum: Math.ceil(plan.maximumBytes / PAGE),
      shared: kernels.shared,
    });
    this.kernels = kernels.instantiate(this.memory);
  }

  /** Views are made anew at each use: growing the memory takes the old ones away. */
  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, address, length);
  }

  floats(address: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, address, length);
  }

  /** Makes room up to `end`; false if the maximum or the machine does not allow it. */
  reserve(end: number): boolean {
    const missing = end - this.memory.buffer.byteLength;
    if (missing <= 0) return true;
    try {
      this.memory.grow(Math.ceil(missing / PAGE));
      return true;
    } catch {
      return false;
    }
  }

  slot(number: number): number {
    return this.plan.slots + number * this.plan.slotBytes;
  }
}
