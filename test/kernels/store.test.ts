import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Code } from "../../assembly/layout_codes.ts";
import { Offset } from "../../assembly/op.ts";
import { codeBlock, codeWidth, meanBytes } from "../../src/machine/code_sizes.ts";
import { CACHE_PARTS, type CachePart } from "../../src/plan/cache.ts";
import { POLICIES, resolvePolicy } from "../../src/plan/policy.ts";
import { Bench, Dice, words } from "./harness.ts";
import { attend, chunksOf, draw, type Outcome, type Setup, type Tokens } from "./session.ts";

const bench = await Bench.open();

/** The slot as the layout defines it: position j of the last in ring slot j mod nLocal, of the first in pinned slot j. */
function slotOf(
  { heads, headDim, kvHeads, policy }: Setup,
  tokens: Tokens,
  { cache, kRotated, slot, chosen }: Outcome,
  origin: bigint,
) {
  const wanted = new Float32Array(new Uint32Array(slot.length).fill(0xffffffff).buffer);
  const n = tokens.k.length / (kvHeads * headDim);
  const sources: Record<Exclude<CachePart, "kvRecall" | "means" | "codes" | "runs">, Float32Array> = {
    kRing: kRotated,
    kRingUnrotated: tokens.k,
    vRing: tokens.v,
    kPinned: kRotated,
    kPinnedUnrotated: tokens.k,
    vPinned: tokens.v,
  };
  for (const name of CACHE_PARTS) {
    if (cache.parts[name] === Offset.Unused) continue;
    if (name === "means" || name === "codes") {
      // codes.test.ts has them.
      const bytes = name === "means" ? meanBytes(headDim) : codeBlock(headDim) * codeWidth(headDim);
      const from = cache.parts[name] / 4;
      wanted.set(slot.subarray(from, from + (kvHeads * cache.codeBlocks * bytes) / 4), from);
      continue;
    }
    if (name === "runs") {
      const distances = new Uint32Array(wanted.buffer, cache.parts.runs, heads * Code.RunPlaces * Code.RunKeys);
      for (let p = Math.max(0, n - Code.RunPlaces); p < n; p++) {
        const place = Number((origin + BigInt(p)) % BigInt(Code.RunPlaces));
        for (let head = 0; head < heads; head++) {
          const at = Code.RunKeys * (Code.RunPlaces * head + place);
          const known = Math.min(policy.recall, Code.RunKeys);
          for (let i = 0; i < known; i++) distances[at + i] = p - (chosen(head, p)[i] ?? p);
        }
      }
      continue;
    }
    if (name === "kvRecall") {
      const places = cache.recallPlaces;
      for (const [i, source] of [tokens.k, tokens.v].entries()) {
        for (let j = Math.max(0, n - places); j < n; j++) {
          const place = Number((origin + BigInt(j)) % BigInt(places));
          for (let head = 0; head < kvHeads; head++) {
            const from = (j * kvHeads + head) * headDim;
            const to = cache.parts.kvRecall / 4 + ((i * kvHeads + head) * places + place) * headDim;
            wanted.set(source.subarray(from, from + headDim), to);
          }
        }
      }
      continue;
    }
    const pinned = name.includes("Pinned");
    const places = pinned ? cache.pinned : cache.ring;
    for (let j = pinned ? 0 : Math.max(0, n - places); j < (pinned ? Math.min(n, places) : n); j++) {
      const place = pinned ? j : Number((origin + BigInt(j)) % BigInt(places));
      for (let head = 0; head < kvHeads; head++) {
        const from = (j * kvHeads + head) * headDim;
        const to = cache.parts[name] / 4 + (head * places + place) * headDim;
        wanted.set(sources[name].subarray(from, from + headDim), to);
      }
    }
  }
  return wanted;
}

describe.each(POLICIES)("%s", (attention) => {
  test.each([
    ["RoPE", 2],
    ["ALiBi", 0],
  ])("%s, any chunks: the ring has the last, pinned slots the first, all else is untouched; exact", (_, rotaryDim) => {
    const property = fc.property(
      fc.record({
        headDim: fc.integer({ min: 2, max: 9 }),
        kvHeads: fc.integer({ min: 1, max: 3 }),
        nGlobal: fc.nat({ max: 4 }),
        ring: fc.integer({ min: 1, max: 9 }),
        recall: fc.constantFrom(0, 2),
        recallTokens: fc.integer({ min: 1, max: 15 }),
        n: fc.integer({ min: 1, max: 90 }),
        origin: fc.constantFrom(0n, 5n, 2n ** 40n + 3n, 2n ** 53n - 100n),
        seed: fc.nat(),
      }),
      ({ n, origin, seed, headDim, kvHeads, recall, ring, ...numbers }) => {
        const unbounded = attention === "full" || attention === "ceiling-only";
        const looksUp = !unbounded && recall > 0;
        const nLocal = ring + (looksUp ? Code.WideBlock - 1 : 0);
        const limits = { ...numbers, nLocal, recall: looksUp ? recall : 0 };
        const dice = new Dice(seed);
        const shape = { heads: kvHeads, kvHeads, headDim, rotaryDim, layout: "half", scale: 1 } as const;
        const setup = { ...shape, policy: resolvePolicy({ ...limits, attention, maxPositions: n }, 4096) };
        const tokens = draw(dice, setup, n);
        const done = attend(bench, setup, tokens, chunksOf(dice, n, looksUp ? ring : 15), {
          origin,
          slices: 1 + dice.below(3),
        });
        expect(words(done.slot)).toEqual(words(slotOf(setup, tokens, done, origin)));
      },
    );
    fc.assert(property, { numRuns: 30 });
  });
});
