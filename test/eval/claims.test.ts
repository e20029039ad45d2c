import { describe, expect, test } from "bun:test";
import { stepsOf } from "../../research/cli/reproduce_steps.ts";
import { resultsPage, shown } from "../../research/cli/results_page.ts";
import { type Claim, claimsOf } from "../../research/eval/claims.ts";
import type { Evaluations } from "../../research/eval/evaluations.ts";

const end = (value: number) => ({ value, low: value, high: value });
const change = (trained: number, end: number) => ({ trained: { mean: trained }, end: { mean: end } });
const policy = (attention: string, entropy: number, bound: number) => ({
  attention,
  alike: { entropy: { trained: 6, end: 7.5 }, sinks: { trained: 0.02, end: 0.005 } },
  layers: [
    {
      layer: "all" as const,
      bound: change(8, bound),
      entropy: change(2.5, entropy),
      sinks: { trained: { mean: 0.5, largest: 0.9 } },
    },
  ],
});
const row = (variant: string, nll: number) => ({
  variant,
  nll,
  "over re-truncation": nll / 4,
  low: nll / 4,
  high: nll / 4,
});
const answers = (accuracy: number) => ({ trials: 9, accuracy, nll: 1, otherNll: 2 });
const continued = (system: string, nll: number, flops: number) => ({
  ...{ system, length: 2048, bleu: 1, rougeL: { value: 10 }, nll: { value: nll }, flops },
});
const interval = { nll: 4, residentBytes: 1e8, notFinite: 0 };

/** What the paper found, as our files would say it. */
const PAPER = {
  model: "models/paper",
  end: {
    ends: [
      { policy: "lambda", from: 1, to: 2, nll: 4.02, overRetruncation: end(1.005) },
      { policy: "full", from: 1, to: 2, nll: Number.NaN, overRetruncation: end(Number.NaN) },
    ],
    trainedLength: 512,
  },
  ablation: {
    from: 1,
    to: 2,
    rows: [
      ...[
        row("lambda", 4.02),
        row("full", 9),
        row("window", 8),
        row("lambda-only", Number.NaN),
        row("ceiling-only", 6),
      ],
      ...[row("nGlobal 0", 8), row("nGlobal 10", 4.02), row("nGlobal 100", 4.01)],
    ],
  },
  passkey: {
    summaries: [
      { policy: "lambda", within: answers(0.9), beyond: answers(0.1) },
      { policy: "lambda+recall", within: answers(0.9), beyond: answers(0.8) },
    ],
  },
  continuation: {
    rows: [continued("lambda", 4, 10), continued("full", Number.NaN, 50), continued("re-truncation 512/32", 4, 100)],
  },
  diagnose: {
    keys: { attended: 522, holds: true, pinnedDifference: 1e-7 },
    policies: [policy("full", 4.5, 12), policy("lambda", 2.6, 8)],
    hidden: [{ layer: 2, byPosition: [3], chance: 0.3 }],
  },
  stream: { parameters: { tokens: 1e6 }, verdict: "flat", intervals: Array(20).fill(interval) },
} satisfies Evaluations;

const one = (found: Evaluations, where: string, paper = ""): Claim =>
  claimsOf(found).find((claim) => claim.where.startsWith(where) && claim.paper.includes(paper)) as Claim;

describe("claims", () => {
  test("what the paper found agrees with all of them, NaN as failing", () => {
    const claims = claimsOf(PAPER);
    expect(claims.filter(({ agrees }) => !agrees)).toEqual([]);
    expect(claims).toHaveLength(15);
    expect(claims.every(({ model }) => model === "models/paper")).toBe(true);
  });

  const breaks: [string, string, string, Partial<Evaluations>, boolean][] = [
    [
      "Λ loses 3 %",
      "Fig. 3",
      "fluent",
      { end: { ...PAPER.end, ends: [{ ...PAPER.end.ends[0]!, overRetruncation: end(1.03) }] } },
      true,
    ],
    [
      "Λ is NaN",
      "Fig. 3",
      "fluent",
      { end: { ...PAPER.end, ends: [{ ...PAPER.end.ends[0]!, overRetruncation: end(Number.NaN) }] } },
      true,
    ],
    [
      "a key is wrong",
      "Fig. 2",
      "",
      { diagnose: { ...PAPER.diagnose, keys: { attended: 512, holds: false, pinnedDifference: Number.NaN } } },
      true,
    ],
    [
      "a stream that rises",
      "§4",
      "",
      { stream: { ...PAPER.stream!, intervals: PAPER.stream!.intervals.map((x, i) => ({ ...x, nll: 4 + i / 10 })) } },
      true,
    ],
    [
      "a stream with a NaN",
      "§4",
      "",
      { stream: { ...PAPER.stream!, intervals: [{ ...interval, notFinite: 1 }, ...PAPER.stream!.intervals] } },
      true,
    ],
    [
      "memory that grows",
      "§4",
      "",
      {
        stream: {
          ...PAPER.stream!,
          intervals: PAPER.stream!.intervals.map((x, i) => ({ ...x, residentBytes: 1e8 + i * 2e6 })),
        },
      },
      true,
    ],
    [
      "vanilla attention holds",
      "Fig. 3, Table 1",
      "vanilla",
      { vanilla: { ...PAPER.end, ends: [{ policy: "full", from: 1, to: 2, nll: 4, overRetruncation: end(1) }] } },
      false,
    ],
    [
      "window attention holds",
      "Fig. 5",
      "window",
      {
        ablation: {
          ...PAPER.ablation,
          rows: PAPER.ablation.rows.map((x) => (x.variant === "window" ? row("window", 4) : x)),
        },
      },
      false,
    ],
    [
      "entropy stays",
      "Fig. 1(b)",
      "",
      { diagnose: { ...PAPER.diagnose, policies: [policy("full", 2.5, 12), policy("lambda", 2.6, 8)] } },
      false,
    ],
    [
      "entropy is NaN",
      "Fig. 1(b)",
      "",
      { diagnose: { ...PAPER.diagnose, policies: [policy("full", Number.NaN, 12), policy("lambda", 2.6, 8)] } },
      false,
    ],
    [
      "no key is found",
      "Fig. 4",
      "",
      {
        passkey: { summaries: PAPER.passkey.summaries.map((x) => ({ ...x, within: answers(0), beyond: answers(0) })) },
      },
      false,
    ],
  ];
  test.each(breaks)("%s: that claim differs", (_, where, paper, change, essential) => {
    const claim = one({ ...PAPER, ...change }, where, paper);
    expect(claim).toMatchObject({ agrees: false, essential });
  });

  test("the commands of a page can be typed: no folder of this machine, no more names than one reads", () => {
    const texts = Array.from({ length: 14 }, (_, i) => `/tmp/somewhere/novel ${i}.txt`);
    const steps = stepsOf("/home/me/models/one", {
      texts,
      latex: texts,
      trainedLength: 512,
      streamTokens: 1,
      quick: false,
    });
    expect(steps.map(({ name }) => name)).toEqual([
      "end",
      "latex",
      "curve",
      "vanilla",
      "diagnose",
      "passkey",
      "recall",
      "ablation",
      "continuation",
      "stream",
    ]);
    for (const step of steps) expect(shown(step)).not.toContain("/tmp");
    expect(shown(steps[0]!)).toBe(
      "lambent eval nll --text novel 0.txt novel 1.txt … 14 files in all --length 32768 --from 31744 --policies lambda,retruncation --model models/one",
    );
  });

  test("without an ablation, the policies of the curve are compared with Λ", () => {
    const { ablation: _, continuation: __, ...rest } = PAPER;
    const at = (policy: string, nll: number) => ({ policy, from: 100, to: 200, nll });
    const ends = [
      at("lambda", 4),
      at("lambda:16", 4.5),
      at("full", 5),
      at("window", 4.01),
      at("ceiling-only", Number.NaN),
    ];
    const found = { ...rest, curve: { ends, trainedLength: 100 } };
    expect(one(found, "Fig. 5", "vanilla")).toMatchObject({
      agrees: true,
      found: expect.stringContaining("+25.00 % [+25.00, +25.00] over Λ"),
    });
    expect(one(found, "Fig. 5", "window")).toMatchObject({
      agrees: false,
      why: expect.stringContaining("the first tokens get"),
    });
    expect(one(found, "Fig. 5", "ceiling-only")).toMatchObject({ agrees: true });
    expect(one(found, "Table 3")).toBeUndefined();
  });

  test("a model trained at long texts is read to twice their length under every policy, Λ and full attention on two more", () => {
    const setting = { texts: ["a", "b", "c", "d"], latex: [], trainedLength: 32768, streamTokens: 1000, quick: false };
    const steps = stepsOf("models/long", setting);
    expect(steps.map(({ name }) => name)).toEqual(["end", "curve", "further", "diagnose", "passkey", "recall"]);
    expect(shown(steps[1]!)).toBe(
      "lambent eval nll --text a --length 65536 --every 8 --policies lambda,lambda:1024,lambda:512,full,window,sinks,lambda-only,ceiling-only --n-local 4096 --model models/long",
    );
    expect(shown(steps[2]!)).toContain("--text b c --length 65536 --every 8 --policies lambda,full --n-local 4096");
    expect(shown(steps[0]!)).toContain("--text a b c --length 36864 --from 32768 --policies lambda,full,retruncation");
  });

  test("a page keeps the sections of other models, and replaces its own", () => {
    const setting = { texts: ["a"], latex: [], trainedLength: 512, streamTokens: 0, quick: true };
    const page = (model: string, command: string, old?: string) => {
      const steps = stepsOf(model, setting).map((step) => ({ ...step, verdict: "good", facts: { kernels: "plain" } }));
      return resultsPage(claimsOf({ ...PAPER, model }), steps, command, old);
    };
    const both = page("models/two", "second", page("models/one", "first"));
    expect(both.match(/^## .*$/gm)).toEqual(["## one", "## two"]);
    const again = page("models/one", "third", both);
    expect(again).toBe(both.replace("Written by `first`", "Written by `third`"));
    expect(again).not.toBe(both);
  });
});
