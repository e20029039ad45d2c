/** The measurement of Fig 2's keys sees every kernel that meets other ones, or at other distances. */
import { expect, test } from "bun:test";
import type { FoundKeys } from "../../research/eval/keys.ts";
import { EMBEDDED, foundKeys } from "../eval/found_keys.ts";
import { brokenKernels, type Mutation } from "./mutant.ts";

const ROPE = EMBEDDED.slice(0, 2);
const BROKEN: readonly (Mutation & { what: string; models: readonly string[]; sees: Partial<FoundKeys> })[] = [
  {
    what: "the ceiling",
    models: EMBEDDED,
    file: "attention_keys.ts",
    from: "if (clamp == Clamp.Distance) return position - limit + 1;",
    to: "if (clamp == Clamp.Distance) return 0;",
    sees: { attended: 46, wrong: 0 },
  },
  {
    what: "the global branch",
    models: EMBEDDED,
    file: "attention_keys.ts",
    from: "end = min(origin + <u64>pinnedOf(record, row), localBegin);",
    to: "end = begin;",
    sees: { attended: 40 },
  },
  {
    what: "the rotation of pinned keys",
    models: ROPE,
    file: "attention_keys.ts",
    from: "const distance = load<u32>(work, Work.fixed) && word(record, Attention.clamp) == Clamp.Distance;",
    to: "const distance = false;",
    sees: { attended: 46, wrong: 0 },
  },
  {
    what: "the rotation of their queries",
    models: ROPE,
    file: "attention_tiles.ts",
    from: "Attention.qRecall : Attention.qFixed;",
    to: "Attention.qRecall : Attention.q;",
    sees: { attended: 46, wrong: 0 },
  },
  {
    what: "the window",
    models: EMBEDDED,
    file: "attention_keys.ts",
    from: "position - nLocal + 1 : origin",
    to: "position - nLocal + 2 : origin",
    sees: { attended: 45 },
  },
];

test.each([...BROKEN])("$what is broken: it does not hold", async ({ models, sees, ...mutation }) => {
  const broken = await brokenKernels([mutation]);
  for (const model of models) {
    const keys = await foundKeys(model, broken);
    expect(keys).toMatchObject({ ...sees, holds: false });
    if (sees.wrong === 0) expect(keys.pinnedDifference).toBeGreaterThan(1e-2);
    else expect(keys.wrong).toBeGreaterThan(0);
  }
});
