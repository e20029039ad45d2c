import { GREEDY, Sampler, type Sampling } from "../../src/engine/sampler.ts";
import { Bank } from "../../src/machine/bank.ts";
import { loadKernels } from "../../src/machine/kernels.ts";
import { Scores } from "../../src/machine/scores.ts";
import { detectHost } from "../../src/runtime/detect.ts";
import { interleave, timed } from "../interleave.ts";
import { Report } from "../report.ts";
import { BUILDS } from "../subject.ts";
import { budgetOf, resultsOf, type SuiteFlags } from "./options.ts";

export interface ChooseFlags extends SuiteFlags {
  readonly sizes: number[];
}

const SETTINGS: Readonly<Record<string, Sampling>> = {
  greedy: GREEDY,
  "topK 64, topP 0.95": { ...GREEDY, doSample: true, topK: 64, topP: 0.95 },
  "topP 0.95": { ...GREEDY, doSample: true, topP: 0.95 },
  "all tokens": { ...GREEDY, doSample: true },
};
/** How far logits spread: as after "Once upon a", and where nearly anything may follow. */
const SPREADS = { peaked: 4, flat: 0.5 };

/** How long it takes to choose a token from logits, by the size of the vocabulary and how it is chosen. */
export async function choose(flags: ChooseFlags): Promise<void> {
  const report = new Report("choose", resultsOf(flags));
  const { kernels: binary } = await detectHost();
  const kernels = await loadKernels(binary, BUILDS.single);
  const add = report.table("a token from logits", {
    ...{ tokens: "tokens", logits: "logits", how: "how", ms: "ms" },
  });
  for (const size of flags.quick ? [4096] : flags.sizes) {
    const bytes = Scores.bytes(size);
    const places = { control: 0, step: 0, slots: 0, slotBytes: 0 };
    const scores = new Scores(new Bank(kernels, { ...places, initialBytes: bytes, maximumBytes: bytes }), 0, size);
    const sampler = new Sampler(scores);
    for (const [logits, spread] of Object.entries(SPREADS)) {
      const values = normal(size, spread);
      const history = { recent: new Int32Array(0), position: 0, length: 0, newTokens: 0 };
      const random = { seed: 1, counter: 0 };
      const contenders = Object.fromEntries(
        Object.entries(SETTINGS).map(([how, sampling]) => {
          return [how, () => timed(() => sampler.choose(values, sampling, history, random))];
        }),
      );
      const samples = await interleave(contenders, budgetOf(flags, 1000));
      for (const how of Object.keys(SETTINGS)) add({ tokens: size, logits, how, ms: samples.median(how) });
    }
  }
  await report.write();
}

/** Sums of four uniform numbers, which are nearly normal; repeatable. */
function normal(size: number, spread: number): Float32Array {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  const scale = spread * Math.sqrt(3);
  return Float32Array.from({ length: size }, () => scale * (uniform() + uniform() + uniform() + uniform()));
}
