import { headFlops, stepCost } from "./cost.ts";
import { type Budget, interleave } from "./interleave.ts";
import type { Row } from "./report.ts";
import { type Setup, Subject } from "./subject.ts";

/** Tokens of a prefill. */
export const PREFILL = 128;

/**
 * At each position: one token decoded beside the read loop over the bytes that its step reads, in turns, and 128 tokens
 * read. Runs in every runtime that has node:fs and node:worker_threads.
 */
export async function* measureSteps(
  model: string,
  setup: Setup,
  positions: readonly number[],
  budget: Budget,
): AsyncGenerator<Row> {
  const maxPositions = Math.max(...positions) + PREFILL + 1;
  const subject = await Subject.open(model, { ...setup, maxPositions });
  try {
    for (const position of positions) {
      const place = subject.place(position);
      const steps = await interleave({ step: () => place.decode(), read: () => subject.read(position) }, budget);
      const few = { ...budget, rounds: Math.min(3, budget.rounds) };
      const chunks = await interleave({ chunk: () => place.prefill(PREFILL) }, few);
      place.close();
      const { bytes } = subject.cost(position);
      const [decodeMs, readMs, prefillMs] = [steps.median("step"), steps.median("read"), chunks.median("chunk")];
      const { attention, dtype, cacheDtype = "f32", threads = 1 } = setup;
      yield {
        ...{ policy: attention, dtype, cacheDtype, threads, position, decodeMs },
        tokensPerSecond: 1000 / decodeMs,
        stepMB: bytes / 1e6,
        readMs,
        readGBs: bytes / readMs / 1e6,
        ofRead: steps.ratio("read", "step"),
        prefillMs,
        prefillTokensPerSecond: (1000 * PREFILL) / prefillMs,
        prefillGops: prefillFlops(subject, position) / prefillMs / 1e6,
      };
    }
  } finally {
    await subject.close();
  }
}

/** Floating-point operations of reading 128 tokens of which only the last wants logits. */
function prefillFlops({ plan }: Subject, position: number): number {
  let flops = headFlops(plan);
  for (let i = 0; i < PREFILL; i++) flops += stepCost(plan, position + i).flops - headFlops(plan);
  return flops;
}
