import { ModelError, mismatch } from "../base/errors.ts";
import type { Bank } from "../machine/bank.ts";
import { Scores } from "../machine/scores.ts";
import { hasHead } from "../models/headless.ts";
import type { Program } from "../models/program.ts";
import type { Plan } from "../plan/plan.ts";
import type { WorkRows } from "./batch.ts";
import type { SessionState } from "./state.ts";

/** Where an engine's logits are: those of a step's rows, and the last ones of every session. */
export class Logits {
  readonly #bank: Bank;
  readonly #head: Plan["head"];
  /** Of a row: the vocabulary, or 0 without a head. */
  readonly size: number;

  constructor({ head }: Plan, program: Program, banks: readonly Bank[]) {
    this.#bank = banks[head.bank] as Bank;
    this.#head = head;
    this.size = hasHead(program) ? program.vocabSize : 0;
  }

  /** Those of a session, f32[vocab], none without a head: a view of Wasm memory. */
  of({ slot }: SessionState): Float32Array {
    return this.#bank.floats(this.#bank.slot(slot), this.size);
  }

  /** Row `row` of those that wanted logits in the last step, f32[vocab]: a view of Wasm memory. */
  row(row: number): Float32Array {
    return this.#bank.floats(this.#head.logits + 4 * row * this.size, this.size);
  }

  /** Where tokens are chosen. */
  scores(): Scores {
    return new Scores(this.#bank, this.#head.scores, this.size);
  }

  /** Checks those of a step; `last`: the last row's become the session's. */
  keep(session: SessionState, { position, count, logitsRow, logitsCount }: WorkRows, last: boolean): void {
    for (let i = 0; i < logitsCount; i++) this.#checkFinite(logitsRow + i, position + count - logitsCount + i);
    if (last) this.give(session, this.row(logitsRow + logitsCount - 1));
  }

  /** Makes a row the session's own. */
  give(session: SessionState, row: Float32Array): void {
    this.of(session).set(row);
    session.hasLogits = true;
  }

  /** The index of the first number of a step's row that is not finite; −1 if there is none. */
  firstBad(row: number): number {
    return this.#bank.kernels.firstNonFinite(this.row(row).byteOffset, this.size);
  }

  /** Throws ModelError if a row holds a number that is not finite. */
  #checkFinite(row: number, position: number): void {
    const bad = this.firstBad(row);
    if (bad >= 0) throw nonFinite(position, bad, this.row(row)[bad] as number);
  }
}

/** The error for a logit that is not finite. */
export function nonFinite(position: number, token: number, logit: number): ModelError {
  return new ModelError(mismatch(`logits at position ${position}`, "finite numbers", `${logit} for token ${token}`));
}
