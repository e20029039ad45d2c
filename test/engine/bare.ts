/** A model without an engine around it: its plan and a machine with the weights in place, and steps as the caller likes. */
import { Size } from "../../assembly/layout.ts";
import { Attention, Op } from "../../assembly/op.ts";
import type { Bank } from "../../src/machine/bank.ts";
import type { Build } from "../../src/machine/kernels.ts";
import type { Machine, StepRow } from "../../src/machine/machine.ts";
import type { Program } from "../../src/models/program.ts";
import { type Plan, plan } from "../../src/plan/plan.ts";
import { type PlanningOptions, planModel } from "../../src/plan/plan_checkpoint.ts";
import { loadMachine } from "../../src/plan/read_weights.ts";
import { resolveWeights } from "../../src/plan/weights.ts";
import { kernels } from "../setup.ts";
import { checkpointOf, fixture, type Tiny } from "./tiny.ts";

/** A row of a step without its slot; the session's number is its slot. */
export interface Token {
  readonly session: number;
  readonly token: number;
  readonly position: number;
  readonly origin?: number;
}

export class Bare {
  readonly program: Program;
  readonly plan: Plan;
  readonly machine: Machine;
  /** Records executed in the last step. */
  records = 0;

  private constructor(program: Program, made: Plan, machine: Machine) {
    this.program = program;
    this.plan = made;
    this.machine = machine;
  }

  /** As Engine.load does, but every row of a step may want logits. `adapt` makes another program of the model's. */
  static async load(
    model: string | Tiny,
    options: PlanningOptions,
    build?: Build,
    adapt = (program: Program): Program => program,
  ): Promise<Bare> {
    const checkpoint = await checkpointOf(typeof model === "string" ? fixture(model) : model);
    const planned = planModel(checkpoint, options);
    const { policy, options: decided } = planned.plan;
    const program = adapt(planned.program);
    const resolved = resolveWeights(program, checkpoint.tensors, options.dtype ?? "auto", checkpoint.name);
    const made = plan(program, resolved, policy, { ...decided, logitsRows: decided.chunkSize });
    const { machine } = await loadMachine(made, checkpoint.config, await kernels(build));
    for (const bank of machine.banks) bank.reserve(bank.slot(decided.maxSessions));
    return new Bare(program, made, machine);
  }

  /** One step; the logits of every row, or of the last one alone. */
  step(tokens: readonly Token[], wanted: "all" | "last" = "all"): Float32Array[] {
    const last = tokens.length - 1;
    const rows = tokens.map(
      ({ session, token, position, origin = 0 }, i): StepRow => ({
        slot: session,
        token,
        position,
        origin,
        wantsLogits: wanted === "all" || i === last,
      }),
    );
    this.records = this.machine.run(rows);
    const { bank, logits } = this.plan.head;
    const { vocabSize } = this.program;
    const memory = this.machine.banks[bank] as Bank;
    return rows
      .filter((row) => row.wantsLogits)
      .map((_, i) => memory.floats(logits + 4 * i * vocabSize, vocabSize).slice());
  }

  /** Reads a whole text as session 0, in chunks of `size`; the logits after every token. */
  read(ids: readonly number[], size = this.plan.chunkSize, origin = 0): Float32Array[] {
    for (const bank of this.machine.banks) bank.bytes(bank.slot(0), bank.plan.slotBytes).fill(0);
    const rows: Float32Array[] = [];
    for (let i = 0; i < ids.length; i += size) {
      const chunk = ids.slice(i, i + size);
      rows.push(...this.step(chunk.map((token, n) => ({ session: 0, token, position: origin + i + n, origin }))));
    }
    return rows;
  }

  /** Keys that attention has visited since the model was loaded: the counts at the start of its scratch areas. */
  keysVisited(): bigint {
    let sum = 0n;
    for (const [i, { bank }] of this.plan.segments.entries()) {
      const record = this.plan.records[i]?.find(({ op }) => op === Op.Attention);
      if (!record) continue;
      const { memory } = this.machine.banks[bank] as Bank;
      const view = new DataView(memory.buffer, record.words[Attention.scratch]);
      for (let slice = 0; slice < Size.MaxSlices; slice++) sum += view.getBigUint64(slice * Size.ScratchBytes, true);
    }
    return sum;
  }
}
