import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { loops } from "../loops/compile.ts";
import { Report, type Row } from "../report.ts";
import { DTYPES, THREADS } from "../subject.ts";
import { STEP_COLUMNS } from "./decode.ts";
import { budgetOf, modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";

const CHILD = fileURLToPath(new URL("./runtimes_child.ts", import.meta.url));
/** How each runtime is started. */
export const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  bun: [process.execPath],
  node: ["npx", "-y", "node@24", "--no-warnings", "--experimental-transform-types"],
  deno: ["npx", "-y", "deno", "run", "-A"],
};

export interface RuntimesFlags extends SuiteFlags {
  readonly model: string;
  readonly dtypes?: string[];
  readonly threads?: number[];
  readonly positions?: number[];
  readonly only?: string[];
}

/** The same steps in every runtime, each in a process of its own, beside the read loop in that runtime. */
export async function runtimes(flags: RuntimesFlags): Promise<void> {
  const { model, quick } = flags;
  const report = new Report(`runtimes${modelSuffix(model)}`, resultsOf(flags));
  const add = report.table("steps", { runtime: "runtime", ...STEP_COLUMNS });
  // Compiled once, here: the compiler need not run elsewhere.
  await loops(false);
  await loops(true);
  const budget = budgetOf(flags);
  for (const dtype of flags.dtypes ?? (quick ? DTYPES.slice(0, 1) : DTYPES)) {
    for (const threads of flags.threads ?? THREADS) {
      for (const position of flags.positions ?? (quick ? [128] : [128, 2048])) {
        for (const name of flags.only ?? Object.keys(RUNTIMES)) {
          const setup = { dtype, threads, attention: "lambda" };
          const { runtime, rows, error } = await inRuntime(name, { model, setup, positions: [position], budget });
          if (error !== undefined) report.note(`${name}: ${error}`);
          else report.version(...(runtime.split(" ") as [string, string]));
          for (const row of rows) add({ runtime: name, ...row });
        }
      }
    }
  }
  await report.write();
}

async function inRuntime(name: string, job: object): Promise<{ runtime: string; rows: Row[]; error?: string }> {
  const [program = name, ...flags] = RUNTIMES[name] ?? [];
  try {
    const { stdout } = await promisify(execFile)(program, [...flags, CHILD, JSON.stringify(job)]);
    return JSON.parse(stdout.trim().split("\n").at(-1) as string);
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return { runtime: name, rows: [], error: stderr?.match(/^.*Error: .*$/m)?.[0] ?? message };
  }
}
