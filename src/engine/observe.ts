import { mismatch, OptionError } from "../base/errors.ts";
import { headsOf } from "../models/program.ts";
import type { WorkRows } from "./batch.ts";
import type { Engine } from "./engine.ts";

/** Where the numbers of a row of attention(layer) are. */
export const STATISTICS = { entropy: 0, largest: 1, sinkShare: 2 } as const;

/**
 * What the observers of one step noted. Every array is a copy, made when it is asked for: to be asked for before the first
 * await of onStep, since other sessions' steps overwrite it. Throws OptionError for what `observe` did not ask for.
 */
export class Observation {
  /** Position of the step's first row, and the number of its rows. */
  readonly position: number;
  readonly rows: number;
  readonly #engine: Engine;

  constructor(engine: Engine, position: number, rows: number) {
    this.#engine = engine;
    this.position = position;
    this.rows = rows;
  }

  /**
   * f32[rows, heads, 3] of a layer's softmax (STATISTICS): its entropy in nats, its largest logit (q · k · scale, with
   * ALiBi's bias), and the share that goes to the session's first `sinks` tokens.
   */
  attention(layer: number): Float32Array {
    const heads = headsOf(this.#engine.program, layer);
    const address = this.#engine.plan.observed[layer + 1]?.attention?.statistics;
    return this.#copy(`attention of layer ${layer}`, layer + 1, address, 3 * heads * this.rows);
  }

  /**
   * f32[heads, span] of a layer: the logits of the step's last row, by the true distance d = p − j of the key; NaN where it
   * is not attended.
   */
  logits(layer: number): Float32Array {
    const { plan, program } = this.#engine;
    const length = headsOf(program, layer) * (plan.options.observe?.attention?.span ?? 0);
    const address = plan.observed[layer + 1]?.attention?.logits;
    return this.#copy(`attention of layer ${layer}`, layer + 1, address, length);
  }

  /** f32[rows, dim]: the hidden state after the embedding (0) or after layer `index` − 1, before any final norm. */
  hidden(index: number): Float32Array {
    const dim = this.#engine.program.buffers.hidden as number;
    return this.#copy(`hidden ${index}`, index, this.#engine.plan.observed[index]?.hidden, dim * this.rows);
  }

  #copy(name: string, unit: number, address: number | undefined, length: number): Float32Array {
    if (address === undefined) throw new OptionError(mismatch("observe", `what asks for ${name}`, "none"));
    const { bank } = this.#engine.plan.observed[unit] as { bank: number };
    return this.#engine.bank(bank).floats(address, length).slice();
  }
}

/** Reads tokens, in steps of chunkSize rows, as Engine.append does, and gives what the observers noted after each step. */
export function observe(
  engine: Engine,
  id: number,
  tokens: readonly number[],
  onStep: (observation: Observation) => void | Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const after = ({ position, count }: WorkRows) => onStep(new Observation(engine, position, count));
  return engine.read(id, tokens, { wants: (left) => left === 1, after, alone: true }, signal);
}
