import { ModelError, mismatch, show } from "../base/errors.ts";
import { contiguous } from "../base/rows.ts";
import type { Adapter, AdapterPair, StoredTensor } from "../formats/checkpoint.ts";
import type { Operation, Program, Weight } from "../models/program.ts";
import { TensorNames } from "./names.ts";

type Matmul = Extract<Operation, { op: "matmul" }>;

/** A program, and the tensors that it names beside the checkpoint's own. */
export interface Adapted {
  readonly program: Program;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/**
 * A program with adapters beside its projections: each is followed by two more, y += factor · B · (A · x), in f32 whatever
 * its own format. Throws ModelError for an adapter of something else than a projection of a layer, or of another shape.
 */
export function adapt(program: Program, adapters: readonly Adapter[]): Adapted {
  return adapters.reduce((adapted, adapter, i) => new Adaptation(adapted, adapter, `adapters.${i}`).run(), {
    program,
    tensors: new Map(),
  } as Adapted);
}

class Adaptation {
  readonly #program: Program;
  readonly #tensors: Map<string, StoredTensor>;
  readonly #weights: Map<string, Weight>;
  readonly #buffers: Record<string, number>;
  readonly #adapter: Adapter;
  /** What names of its tensors start with. */
  readonly #prefix: string;
  /** Projections of the adapter by their names, and what their tensors are called. */
  readonly #names: TensorNames;
  readonly #pairs: ReadonlyMap<string, AdapterPair>;
  readonly #used = new Set<AdapterPair>();

  constructor({ program, tensors }: Adapted, adapter: Adapter, prefix: string) {
    this.#program = program;
    this.#tensors = new Map(tensors);
    this.#weights = new Map(program.weights);
    this.#buffers = { ...program.buffers };
    this.#adapter = adapter;
    this.#prefix = prefix;
    const weightOf = ({ module }: AdapterPair) => `${module}.weight`;
    this.#pairs = new Map(adapter.pairs.map((pair) => [weightOf(pair), pair]));
    const stored = adapter.pairs.map((pair) => [weightOf(pair), { ...pair.a, name: weightOf(pair) }] as const);
    this.#names = new TensorNames(new Map(stored), adapter.name);
  }

  run(): Adapted {
    const layers = this.#program.layers.map((operations) => this.#layer(operations));
    const stranger = this.#adapter.pairs.find((pair) => !this.#used.has(pair));
    if (stranger) {
      const expected = "projections of this model's layers";
      throw new ModelError(mismatch(this.#adapter.name, expected, show(stranger.module)));
    }
    const program = { ...this.#program, layers, weights: this.#weights, buffers: this.#buffers };
    return { program, tensors: this.#tensors };
  }

  #layer(operations: readonly Operation[]): Operation[] {
    let before: string | undefined;
    return operations.flatMap((operation) => {
      const pair = operation.op === "matmul" ? this.#pairOf(operation) : undefined;
      if (!pair) {
        before = undefined;
        return [operation];
      }
      const [down, up] = this.#beside(operation as Matmul, pair);
      // Neighbours that are parts of one matrix share its A.
      const again = before === down.weight;
      before = down.weight;
      return again ? [operation, up] : [operation, down, up];
    });
  }

  #pairOf({ weight }: Matmul): AdapterPair | undefined {
    for (const tensor of this.#weights.get(weight)?.tensors ?? []) {
      const found = this.#names.find(tensor);
      if (found) return this.#pairs.get(found.name);
    }
    return undefined;
  }

  /** The two projections beside one. */
  #beside({ y, x, weight: name }: Matmul, pair: AdapterPair): [Matmul, Matmul] {
    this.#used.add(pair);
    const weight = this.#weights.get(name) as Weight;
    const [outputs = 0, inputs = 0] = weight.stored;
    const [rank = 0] = pair.a.shape;
    this.#expect(pair, "A", pair.a, [rank, inputs]);
    this.#expect(pair, "B", pair.b, [outputs, rank]);
    const between = `adapted${rank}`;
    this.#buffers[between] = rank;
    const a = this.#add(`${this.#prefix}.${pair.module}.A`, pair.a, {
      stored: [rank, inputs],
      shape: [rank, inputs],
      rows: contiguous(0, rank),
    });
    const b = this.#add(
      `${this.#prefix}.${pair.module}.B`,
      pair.b,
      { ...weight, stored: [outputs, rank], shape: [weight.shape[0], rank], factor: pair.factor },
      `${this.#prefix}.${name}.B`,
    );
    return [
      { op: "matmul", y: between, x, weight: a },
      { op: "matmul", y, x: between, weight: b, residual: y },
    ];
  }

  /** Declares a weight that is stored as this tensor; returns its name. */
  #add(
    tensor: string,
    stored: StoredTensor,
    weight: Omit<Weight, "name" | "tensors" | "dtype">,
    name = tensor,
  ): string {
    this.#tensors.set(tensor, { ...stored, name: tensor });
    this.#weights.set(name, { ...weight, name, tensors: [tensor], dtype: "f32" });
    return name;
  }

  #expect({ module }: AdapterPair, part: string, { shape }: StoredTensor, expected: readonly number[]): void {
    if (shape.join() === expected.join() && !expected.includes(0)) return;
    throw new ModelError(
      mismatch(`${this.#adapter.name}: lora_${part} of ${show(module)}`, `shape [${expected}]`, shape),
    );
  }
}
