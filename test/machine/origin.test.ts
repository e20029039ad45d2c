/** Positions are 64-bit and angles exact: a session whose first token has a position far away is the same session. */
import { expect, test } from "bun:test";
import { POLICIES } from "../../src/plan/policy.ts";
import { deviation } from "../setup.ts";
import { Model, type Shape, VARIETIES } from "./model.ts";

const STEPS: readonly Shape[] = [[[0, 16]], [[0, 1]], [[0, 9]], [[0, 1]], [[0, 16]], [[0, 3]]];
const LIMITS = { nGlobal: 3, nLocal: 8, limit: 10, maxPositions: 64, chunkSize: 16 };

for (const family of VARIETIES) {
  test.each(POLICIES)(
    `${family}, %s: from 2^40 and from 2^53 − 100 on, the logits of 46 tokens equal those from 0 within 2e-5 · (1 + |logit|)`,
    async (attention) => {
      const model = await Model.open(family, { attention, ...LIMITS });
      const run = (origin: number) => {
        model.reset();
        return STEPS.flatMap((shape) => {
          const rows = model.rows(shape, origin);
          model.machine.run(rows);
          return [...new Float32Array(model.bits(rows).logits.buffer)];
        });
      };
      const wanted = run(0);
      for (const origin of [2 ** 40, 2 ** 53 - 100]) expect(deviation(run(origin), wanted)).toBeLessThan(2e-5);
    },
  );
}
