/**
 * Threads may come in any order between two barriers. So every record, cut into slices that are executed one after the
 * other in any order, must give the bits of one slice, from buffers that hold nothing but NaN.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Size } from "../../assembly/layout.ts";
import { Op } from "../../assembly/op.ts";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { POLICIES } from "../../src/plan/policy.ts";
import { Dice } from "../kernels/harness.ts";
import { FIXTURE_NAMES, finite, Model, type Shape } from "./model.ts";

const LIMITS = { nGlobal: 3, nLocal: 8, limit: 11, maxPositions: 64, chunkSize: 16 };

/** A prompt; decoding; a second session's prompt beside it; both decoding; a prompt longer than the window. */
const STEPS: readonly Shape[] = [
  [[0, 7]],
  [[0, 1]],
  [
    [0, 1],
    [1, 5],
  ],
  [
    [1, 1],
    [0, 1],
  ],
  [
    [0, 11],
    [1, 3],
  ],
  [[0, 1]],
];

/** Executes one step record by record, each cut into `slices`, in an order that the dice decide. */
function execute({ bank, program }: Model, slices: number, dice: Dice): void {
  const words = new Uint32Array(bank.memory.buffer);
  const order = Array.from({ length: slices }, (_, slice) => slice);
  for (let record = program; words[record / 4] !== Op.End; record += Size.RecordBytes) {
    for (const slice of dice.shuffled(order)) bank.kernels.execute(record, bank.plan.step, slice, slices);
  }
}

for (const name of FIXTURE_NAMES) {
  test(`${name}: 1, 2, 3, 5 and 64 slices in any order, every policy and cache: logits and caches have the same bits`, async () => {
    for (const [i, attention] of POLICIES.entries()) {
      const cacheDtype = CACHE_DTYPES[i % 3];
      const model = await Model.open(name, { attention, cacheDtype, ...LIMITS });
      const run = (slices: number, dice: Dice) => {
        model.reset();
        return STEPS.map((shape) => {
          const rows = model.rows(shape);
          model.spoil();
          model.machine.write(rows);
          execute(model, slices, dice);
          return model.bits(rows);
        });
      };
      const wanted = run(1, new Dice(0));
      expect(wanted.every(({ logits }) => logits.length > 0 && finite(logits))).toBe(true);
      const property = fc.property(fc.constantFrom(2, 3, 5, Size.MaxSlices), fc.nat(), (slices, seed) => {
        expect(run(slices, new Dice(seed))).toEqual(wanted);
      });
      fc.assert(property, { numRuns: 6 });
    }
  });

  test.each(CACHE_DTYPES)(
    `${name}, %s: a session's bits do not depend on chunks, company or slot, and run does what execute does`,
    async (cacheDtype) => {
      const model = await Model.open(name, { attention: "lambda", cacheDtype, ...LIMITS });
      /** The logits of each session's last token, after these steps. */
      const run = (steps: readonly Shape[], session: number) => {
        model.reset();
        let last = new Uint32Array();
        for (const shape of steps) {
          const rows = model.rows(shape).map((row) => ({ ...row, token: row.position % 61 }));
          model.spoil();
          expect(model.machine.run(rows)).toBe(model.planned.plan.records.flat().length);
          const wanted = rows.filter((row) => row.wantsLogits);
          const vocab = model.planned.program.vocabSize;
          const at = wanted.findLastIndex((row) => row.slot === session);
          if (at >= 0) last = model.bits(rows).logits.slice(at * vocab, (at + 1) * vocab);
        }
        expect(finite(last)).toBe(true);
        return last;
      };
      const alone = run(
        Array.from({ length: 21 }, () => [[0, 1]] as const),
        0,
      );
      expect(run([[[0, 16]], [[0, 5]]], 0)).toEqual(alone);
      expect(
        run(
          [
            [
              [1, 3],
              [0, 9],
            ],
            [
              [0, 11],
              [1, 2],
            ],
            [
              [1, 1],
              [0, 1],
            ],
          ],
          0,
        ),
      ).toEqual(alone);
      expect(
        run(
          [
            [
              [0, 2],
              [1, 10],
            ],
            [[1, 1]],
            [
              [1, 9],
              [0, 4],
            ],
            [[1, 1]],
          ],
          1,
        ),
      ).toEqual(alone);
    },
  );
}
