/** Positions may be as large as they like: what counts is the distance between them. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { POLICIES } from "../../src/plan/policy.ts";
import { deviation } from "../setup.ts";
import { Bare } from "./bare.ts";
import { dense, engineOf, FAMILIES, oneByOne, PATIENCE, policyOf, randomIds } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

/**
 * Rotations by other angles round otherwise: f32 alone, without any error of position, moves logits by as much as they
 * are from f64's, 1e-5 in LLaMA's fixtures (measured over 30 texts: 2.0e-5 between two origins; ALiBi and GPT-J 5e-6).
 */
const BOUNDS: Record<string, number> = { "llama-gqa-tied": 3e-5, "mpt-heads6": 1e-5, gptj: 1e-5 };
const TOKENS = 100;
const shape = { nLocal: 16, nGlobal: 3, limit: 20 };
/** Aligned with the kernel's blocks of 64 keys and not, beyond 32 bits, and close to the end of exact integers. */
const origins = [7, 64, 2 ** 32 - 50, 2 ** 40, 2 ** 40 + 1, 2 ** 53 - 1000];

describe.each([...FAMILIES])("%s", (family) => {
  const bound = BOUNDS[family] as number;

  test.each([...POLICIES])(
    "%s: logits of a session that begins far out, within 1e-5 (LLaMA 3e-5) · (1 + |logit|)",
    async (attention) => {
      const ids = randomIds(TOKENS, 9);
      const engine = await engineOf(family, { ...policyOf(attention, shape, TOKENS), chunkSize: 24 });
      const near = await oneByOne(engine, ids);
      for (const origin of origins) {
        const session = engine.open(origin, 1);
        let worst = 0;
        await engine.forward(session, ids, (row, position) => {
          worst = Math.max(worst, deviation(row, near[position - origin] as Float32Array));
        });
        expect(engine.state(session).position).toBe(origin + TOKENS);
        expect({ origin, worst, good: worst < bound }).toEqual({ origin, worst, good: true });
        engine.dispose(session);
      }
    },
  );
});

test("ten thousand tokens from 0 and from 2^40: the dense mask's logits, without drift", async () => {
  const count = 10_000;
  const ids = randomIds(count, 10);
  for (const family of FAMILIES) {
    const options = { nLocal: 16, nGlobal: 0, chunkSize: 128, maxSessions: 1 };
    // Two layers of 16 keys see 31 tokens back, so the end of the text alone gives the last logits.
    const tail = ids.slice(-64);
    const wanted = dense(family, tail, { attention: "window", nLocal: 16 }).at(-1) as Float64Array;
    const model = await Bare.load(family, { ...options, attention: "window" });
    for (const origin of [0, 2 ** 40]) {
      const last = model.read(ids, 128, origin).at(-1) as Float32Array;
      expect(deviation(last, wanted)).toBeLessThan(2e-5);
    }
  }
});
