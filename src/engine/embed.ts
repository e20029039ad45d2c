import { ModelError, mismatch } from "../base/errors.ts";
import { hiddenSize } from "../models/program.ts";
import type { Engine } from "./engine.ts";
import { asksRecall } from "./reading.ts";
import { restart } from "./state.ts";

/** Which hidden states make the vector of a text: that of its last token, or the mean of all. */
export const POOLINGS = ["last", "mean"] as const;
/** One of POOLINGS. */
export type Pooling = (typeof POOLINGS)[number];

/** How the vector of a text is made. */
export interface Embedding {
  readonly pooling: Pooling;
  /** Whether its length becomes 1. */
  readonly normalize: boolean;
  /** How many of its first numbers are kept, before that. */
  readonly dimensions: number;
}

/** The smallest length that a vector is divided by. see: torch.nn.functional.normalize */
const LEAST_LENGTH = 1e-12;

/**
 * Reads a text from its start in a session, whose own text is lost, and gives its vector f32[dimensions]: hidden states
 * after the final norm (HF last_hidden_state), pooled. No logits are computed. The mean is taken in f64, in the order of the
 * tokens, so neither steps nor other sessions change a bit. Throws ModelError if a number is not finite.
 */
export async function embed(
  engine: Engine,
  id: number,
  tokens: readonly number[],
  { pooling, normalize, dimensions }: Embedding,
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  restart(engine.state(id));
  const sums = new Float64Array(hiddenSize(engine.program));
  const first = pooling === "last" ? tokens.length - 1 : 0;
  await engine.run(id, tokens, (session, all) => ({
    session,
    tokens: all,
    wants: () => false,
    asksRecall: asksRecall(engine.plan, session, all.length - 1),
    takesHidden: true,
    after({ row, index, count }) {
      for (let i = Math.max(0, first - index); i < count; i++) {
        const hidden = engine.hidden(row + i);
        for (let j = 0; j < sums.length; j++) sums[j] = (sums[j] as number) + (hidden[j] as number);
      }
    },
    signal,
  }));
  const count = tokens.length - first;
  const kept = sums.subarray(0, dimensions);
  const length = normalize ? Math.sqrt(kept.reduce((sum, value) => sum + (value / count) ** 2, 0)) : 1;
  const vector = Float32Array.from(kept, (value) => value / count / Math.max(length, LEAST_LENGTH));
  const bad = vector.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new ModelError(mismatch("embedding", "finite numbers", `${vector[bad]} at ${bad}`));
  return vector;
}
