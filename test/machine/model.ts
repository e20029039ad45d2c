/** A fixture's model in a machine of its own, without the engine around it: every byte of it can be seen and spoilt. */
import type { Bank } from "../../src/machine/bank.ts";
import type { Build } from "../../src/machine/kernels.ts";
import type { Machine, StepRow } from "../../src/machine/machine.ts";
import { type Planned, type PlanningOptions, planModel } from "../../src/plan/plan_checkpoint.ts";
import { loadMachine } from "../../src/plan/read_weights.ts";
import { checkpointOf, fixture } from "../engine/tiny.ts";
import { kernels } from "../setup.ts";

/** One of each family, and of what differs within one: grouped keys, windows, biases, clipping, odd numbers of heads. */
export const VARIETIES = ["llama-gqa-tied", "mistral-window", "qwen2", "mpt-clip", "mpt-heads6", "gptj"] as const;
/** The same, and every format of weights. */
export const FIXTURE_NAMES = [...VARIETIES, "llama-bf16", "llama-f16"] as const;

/** A step as a test writes it: [session, number of tokens] for each session in it. */
export type Shape = readonly (readonly [session: number, tokens: number])[];

export class Model {
  readonly planned: Planned;
  readonly machine: Machine;
  readonly bank: Bank;
  #positions: number[] = [];

  private constructor(planned: Planned, machine: Machine) {
    this.planned = planned;
    this.machine = machine;
    this.bank = machine.banks[0]!;
    if (!this.bank.reserve(this.bank.slot(planned.plan.options.maxSessions))) throw new RangeError("no memory");
  }

  /** Everything is in one bank. */
  static async open(
    name: (typeof FIXTURE_NAMES)[number],
    options: PlanningOptions,
    build: Build = "single-plain",
  ): Promise<Model> {
    const checkpoint = await checkpointOf(fixture(name));
    const planned = planModel(checkpoint, { maxSessions: 2, ...options });
    const { machine } = await loadMachine(planned.plan, checkpoint.config, await kernels(build));
    return new Model(planned, machine);
  }

  /** Address of the program's first record. */
  get program(): number {
    return this.planned.plan.segments[0]!.program;
  }

  /** Ends every session; the slots are NaN from here on, so that nothing unwritten can be read unseen. */
  reset(): void {
    this.#positions = [];
    const { slots, slotBytes } = this.bank.plan;
    this.bank.bytes(slots, slotBytes * this.planned.plan.options.maxSessions).fill(0xff);
  }

  /** Makes NaN of all activations, angles and scratch: what a step reads of them, it must have written. */
  spoil(): void {
    const begin = this.planned.plan.staging[0]!;
    this.bank.bytes(begin, this.program - begin).fill(0xff);
  }

  /** The rows of a step, which continue their sessions; those that want logits: every session's last, and odd positions. */
  rows(shape: Shape, origin = 0): StepRow[] {
    return shape.flatMap(([slot, tokens]) =>
      Array.from({ length: tokens }, (_, i): StepRow => {
        const n = (this.#positions[slot] ??= 0);
        this.#positions[slot] = n + 1;
        const token = (n * n * 7 + n * 3 + slot * 5 + 1) % this.planned.program.vocabSize;
        return { token, slot, position: origin + n, origin, wantsLogits: i === tokens - 1 || n % 2 === 1 };
      }),
    );
  }

  /** Copies of the logits of the rows that want them, and of every session's slot, as bits. */
  bits(rows: readonly StepRow[]): { logits: Uint32Array; slots: Uint32Array } {
    const wanted = rows.filter((row) => row.wantsLogits).length;
    const { plan, program } = this.planned;
    const words = (address: number, bytes: number) => new Uint32Array(this.bank.bytes(address, bytes).slice().buffer);
    const { slots, slotBytes } = this.bank.plan;
    return {
      logits: words(plan.head.logits, 4 * wanted * program.vocabSize),
      slots: words(slots, slotBytes * plan.options.maxSessions),
    };
  }
}

/** Whether bits of f32 are all finite. */
export function finite(bits: Uint32Array): boolean {
  return bits.every((word) => (word & 0x7f800000) !== 0x7f800000);
}
