import type { PolicyName } from "../../src/plan/policy.ts";
import { measureSteps } from "../measure.ts";
import { Report } from "../report.ts";
import { CACHE_DTYPES, DTYPES, type Setup, THREADS } from "../subject.ts";
import { budgetOf, modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";

export interface DecodeFlags extends SuiteFlags {
  readonly model: string;
  readonly dtypes?: string[];
  readonly cacheDtypes?: string[];
  readonly threads?: number[];
  readonly positions?: number[];
  readonly policies: PolicyName[];
}

export const STEP_COLUMNS = {
  policy: "policy",
  dtype: "weights",
  cacheDtype: "cache",
  threads: "threads",
  position: "position",
  decodeMs: "decode, ms",
  tokensPerSecond: "tokens/s",
  stepMB: "step, MB",
  readMs: "read, ms",
  readGBs: "read, GB/s",
  ofRead: "of read",
  prefillMs: "128 more, ms",
  prefillTokensPerSecond: "tokens/s",
  prefillGops: "Gop/s",
};

/** One token at several positions beside the read loop over the bytes that its step reads, and 128 tokens more. */
export async function decode(flags: DecodeFlags): Promise<void> {
  const { model, quick } = flags;
  const report = new Report(`decode${modelSuffix(model)}`, resultsOf(flags));
  const add = report.table("decode", STEP_COLUMNS);
  for (const setup of setups(flags)) {
    const positions = flags.positions ?? [128, 2048];
    for await (const row of measureSteps(model, setup, quick ? positions.slice(0, 1) : positions, budgetOf(flags)))
      add(row);
  }
  await report.write();
}

/** Every combination that is asked for; with --quick one of each kind. */
function* setups({ quick, dtypes, cacheDtypes, threads, policies }: DecodeFlags): Generator<Setup> {
  const some = <T>(values: readonly T[]) => (quick ? values.slice(0, 2) : values);
  for (const dtype of dtypes ?? some(DTYPES)) {
    for (const cacheDtype of cacheDtypes ?? some(CACHE_DTYPES)) {
      for (const count of threads ?? some(THREADS)) {
        for (const attention of policies) yield { dtype, cacheDtype, threads: count, attention };
      }
    }
  }
}
