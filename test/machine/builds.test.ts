/** One source, four builds: what they compute must be the same bits. */
import { expect, test } from "bun:test";
import { Xxh64 } from "../../src/machine/hash.ts";
import { BUILDS, kernels } from "../setup.ts";
import { FIXTURE_NAMES, finite, Model, type Shape } from "./model.ts";

/** 44 tokens of one session, in a prompt, single tokens, and chunks longer than the window. */
const STEPS: readonly Shape[] = [[[0, 9]], [[0, 1]], [[0, 1]], [[0, 16]], [[0, 1]], [[0, 12]], [[0, 3]], [[0, 1]]];

for (const name of FIXTURE_NAMES) {
  test(`${name}: the logits of 44 tokens under lambda (3, 8, 8) hash to the same in all four builds`, async () => {
    const hashes = await Promise.all(
      BUILDS.map(async (build) => {
        const limits = { nGlobal: 3, nLocal: 8, chunkSize: 16 };
        const model = await Model.open(name, { attention: "lambda", ...limits }, build);
        const hash = new Xxh64(await kernels());
        model.reset();
        for (const shape of STEPS) {
          const rows = model.rows(shape);
          model.spoil();
          model.machine.run(rows);
          const { logits } = model.bits(rows);
          expect(finite(logits)).toBe(true);
          hash.update(new Uint8Array(logits.buffer));
        }
        return `${hash.hex()}`;
      }),
    );
    expect(hashes).toEqual(BUILDS.map(() => hashes[0] as string));
  });
}
