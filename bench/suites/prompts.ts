import { interleave } from "../interleave.ts";
import { Report } from "../report.ts";
import { CACHE_DTYPES, Subject } from "../subject.ts";
import { budgetOf, modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";

export interface PromptsFlags extends SuiteFlags {
  readonly model: string;
  readonly dtype?: string;
  readonly threads: number;
  readonly tokens: number;
}

/** A prompt: the first after loading beside later ones, by format of the cache. */
export async function prompts(flags: PromptsFlags): Promise<void> {
  const { model, dtype, threads, quick } = flags;
  const tokens = quick ? 16 : flags.tokens;
  const report = new Report(`prompts${modelSuffix(model)}`, resultsOf(flags));
  const add = report.table(`${tokens} tokens, ${threads} threads`, {
    ...{ cacheDtype: "cache", firstMs: "first, ms", laterMs: "later, ms", ofLater: "first of later" },
    ofFirstCache: `of ${CACHE_DTYPES[0]}'s speed`,
  });
  const subjects = new Map<string, Subject>();
  const firsts = new Map<string, number>();
  for (const cacheDtype of CACHE_DTYPES) {
    const subject = await Subject.open(model, { dtype, cacheDtype, threads });
    subjects.set(cacheDtype, subject);
    firsts.set(cacheDtype, await subject.place(0).prefill(tokens));
  }
  const contenders = Object.fromEntries(
    [...subjects].map(([cacheDtype, subject]) => {
      const place = subject.place(0);
      return [cacheDtype, () => place.prefill(tokens)];
    }),
  );
  const samples = await interleave(contenders, budgetOf(flags));
  for (const [cacheDtype, subject] of subjects) {
    const firstMs = firsts.get(cacheDtype) as number;
    const laterMs = samples.median(cacheDtype);
    const ofFirstCache = samples.ratio(CACHE_DTYPES[0], cacheDtype);
    add({ cacheDtype, firstMs, laterMs, ofLater: laterMs / firstMs, ofFirstCache });
    await subject.close();
  }
  await report.write();
}
