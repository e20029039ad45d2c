/** Snapshots of the first format go on with the same bits. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSnapshot } from "../../src/engine/snapshot.ts";
import { engineOf, PATIENCE, randomIds, rowOf, sameBits } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

/** Written by version 0.1.0 after 40 tokens from position 5 on and three greedy ones. */
const VERSION_1 = [["v1-lambda", "llama-gqa-tied", { nGlobal: 3, nLocal: 16, limit: 20 }]] as const;

for (const [name, model, options] of VERSION_1) {
  test(`${name}: a session restored from it is the one that was written`, async () => {
    const engine = await engineOf(model, options);
    const here = engine.open(5, 9);
    await engine.append(here, randomIds(40, 7));
    for (let i = 0; i < 3; i++) await engine.next(here);
    const file = new Uint8Array(readFileSync(join(import.meta.dir, "snapshots", `${name}.safetensors`)));
    const { id: restored } = readSnapshot(engine, file);
    expect(sameBits(rowOf(engine, restored), rowOf(engine, here))).toBe(true);
    for (let i = 0; i < 30; i++) {
      expect((await engine.next(restored)).id).toBe((await engine.next(here)).id);
      expect(sameBits(rowOf(engine, restored), rowOf(engine, here))).toBe(true);
    }
  });
}
