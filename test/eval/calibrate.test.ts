/** What `calibrate` chooses, by models whose needs are known; and the command. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { calibrate, type Setting } from "../../research/eval/calibrate.ts";
import type { LayerHead } from "../../src/plan/middle.ts";
import { lambent } from "../cli/run.ts";
import { removeTemporary, temporaryFolder } from "../session/small.ts";
import { MODELS } from "../setup.ts";

setDefaultTimeout(180_000);
afterAll(removeTemporary);

const PLAIN = { passages: 4, text: 3 };

test("the heads that passages need, the best distance, the loosest gate that does no harm", async () => {
  const cases = fc.record({
    layers: fc.integer({ min: 1, max: 8 }),
    each: fc.integer({ min: 1, max: 9 }),
    needed: fc.uniqueArray(fc.nat({ max: 71 }), { minLength: 1, maxLength: 3 }),
    best: fc.constantFrom(256, 128, 512),
    from: fc.constantFrom(-Infinity, -2, 0, 1, Infinity),
  });
  const property = fc.asyncProperty(cases, async ({ layers, each, needed, best, from }) => {
    const all = Array.from({ length: layers * each }, (_, i): LayerHead => [Math.floor(i / each), i % each]);
    const need = [...new Set(needed.map((i) => i % all.length))].sort((a, b) => a - b).map((i) => all[i] as LayerHead);
    const trials: Setting[] = [];
    const measure = async (setting: Setting) => {
      trials.push(setting);
      const missing = need.filter((head) => !setting.heads.includes(head)).length;
      const passages = 0.5 + missing + (setting.distance === best ? 0 : 0.2);
      return { passages, text: (setting.gate ?? -Infinity) >= from ? 3.01 : 3.2 };
    };
    const gates = [-3, -2, -1, 0, 1];
    const found = await calibrate({ heads: all, distances: [256, 512, 128], gates }, PLAIN, measure);
    const gate = from === -Infinity || from === Infinity ? undefined : gates.find((one) => one >= from);
    expect(found?.setting).toEqual({ heads: need, distance: best, gate });
    expect(found?.harmless).toBe(from < Infinity);
    // Twice as many as there are halvings, for each head that is needed.
    const halvings = Math.ceil(Math.log2(each));
    const most = 1 + layers + need.length * 2 * halvings + 2 + gates.length * (1 + need.length);
    expect(trials.length).toBeLessThanOrEqual(most);
  });
  await fc.assert(property, { numRuns: 100 });
});

test("heads get a looser gate of their own as far as ordinary text stays as good", async () => {
  const heads: LayerHead[] = [
    [5, 1],
    [11, 2],
  ];
  // What each head costs ordinary text is gone from another gate on, and passages lose with both gates.
  const measure = async ({ heads, gate = -9 }: Setting) => {
    const [first, second] = heads.map((head) => head[2] ?? gate) as [number, number];
    if (heads.length < 2) return { passages: 4, text: 3 };
    return { passages: 1 + (first + second) / 100, text: 3 + (first < 1 ? 0.1 : 0) + (second < -2 ? 0.1 : 0) };
  };
  const found = await calibrate({ heads, distances: [8], gates: [-3, -2, -1, 0, 1] }, PLAIN, measure);
  expect(found?.setting).toEqual({
    heads: [
      [5, 1],
      [11, 2, -2],
    ],
    distance: 8,
    gate: 1,
  });
});

test("a model that finds nothing by any head has no calibration", async () => {
  const measure = async () => ({ passages: 3.95, text: 3 });
  expect(
    await calibrate(
      {
        heads: [
          [0, 0],
          [1, 0],
        ],
        distances: [8],
        gates: [0],
      },
      PLAIN,
      measure,
    ),
  ).toBeUndefined();
});

test("the command tells every trial, and writes what was found where it is told", async () => {
  const out = join(temporaryFolder(), "recall.json");
  const text = join(MODELS, "texts/shelley-frankenstein.txt");
  const model = join(MODELS, "lambent-gptj-6m");
  const numbers = ["--n-local", "64", "--length", "2300", "--recall", "4"];
  const {
    code,
    out: told,
    err,
  } = await lambent(["calibrate", "--model", model, "--text", text, ...numbers, "--out", out]);
  expect(told).toContain("heads 0:0-3 1:0-3 2:0-3 3:0-3 4:0-3, distance 32, gate none");
  if (code === 0) {
    expect(Object.keys(JSON.parse(readFileSync(out, "utf8")))).toContain("recallHeads");
    expect(told).toMatch(/--recall-heads [\d:,]+ --recall-distance \d+/);
  } else {
    expect(err).toContain("expected passages that recall finds, found none by any heads");
    expect(existsSync(out)).toBe(false);
  }
  const command = ["calibrate", "--model", model, "--text", text, ...numbers];
  const heads = await lambent([...command, "--recall-heads", "3:1", "--out", out]);
  expect([heads.code, heads.err]).toEqual([
    1,
    "error: recallHeads: expected nothing, as it is found or set here, found [[3,1]]\n",
  ]);
  const nowhere = join(out, "no", "recall.json");
  const unwritable = await lambent([...command, "--out", nowhere]);
  expect([unwritable.code, unwritable.out]).toEqual([1, ""]);
  expect(unwritable.err).toContain(`${nowhere}: expected a writable file`);
  const short = await lambent(["calibrate", "--model", model, "--text", text, "--n-local", "64", "--length", "100"]);
  expect(short.err).toContain("length: expected at least");
});
