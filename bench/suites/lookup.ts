import { readFileSync } from "node:fs";
import { load } from "../../src/session/model.ts";
import { type Contender, interleave } from "../interleave.ts";
import { Report } from "../report.ts";
import { budgetOf, modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";

export interface LookupFlags extends SuiteFlags {
  readonly model: string;
  readonly dtype?: string;
  readonly threads: number;
  readonly numTokens: number[];
}

const NOVEL = new URL("../../models/texts/austen-persuasion.txt", import.meta.url).pathname;
const NEW_TOKENS = 96;

/**
 * What is continued: a page that is being repeated, as where an answer quotes its prompt, and one of a novel. Sampled, a
 * text of a small model soon repeats itself in neither case.
 */
const TEXTS = {
  "a page again": (page: string) => ({ prompt: page + page.slice(0, 200), temperature: 0 }),
  "a novel, greedy": (page: string) => ({ prompt: page, temperature: 0 }),
  "a novel, sampled": (page: string) => ({ prompt: page, temperature: 0.8 }),
} as const;

/** Tokens per second with prompt lookup, beside those without it. */
export async function lookup(flags: LookupFlags): Promise<void> {
  const { model: where, dtype, threads } = flags;
  const report = new Report(`lookup${modelSuffix(where)}`, resultsOf(flags));
  const row = report.table("tokens of a text that goes on", {
    text: "text",
    numTokens: "lookup",
    tokensPerSecond: "tokens/s",
    ofNone: "of none",
  });
  const model = await load(where, { threads, dtype: dtype as never });
  const page = readFileSync(NOVEL, "utf8").slice(20_000, 21_200);
  for (const [text, of] of Object.entries(TEXTS)) {
    const { prompt, temperature } = of(page);
    const contender = (promptLookupNumTokens: number): Contender => {
      const options = { temperature, seed: 1, ignoreEos: true, maxNewTokens: NEW_TOKENS, promptLookupNumTokens };
      return async () => 1000 * (await model.generate(prompt, options).result).decodeSeconds;
    };
    const counts = [0, ...flags.numTokens];
    const contenders = Object.fromEntries(counts.map((count) => [count, contender(count)]));
    const samples = await interleave(contenders, budgetOf(flags));
    for (const count of counts) {
      const tokensPerSecond = (1000 * NEW_TOKENS) / samples.median(`${count}`);
      row({ text, numTokens: count, tokensPerSecond, ofNone: samples.ratio("0", `${count}`) });
    }
  }
  model.dispose();
  await report.write();
}
