import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { each, type PeerResult, type Shape } from "../peers/index.ts";
import { Report } from "../report.ts";
import { writeCheckpoint } from "../synthetic.ts";
import { resultsOf, type SuiteFlags } from "./options.ts";

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL("./banks_child.ts", import.meta.url));

export interface BanksFlags extends SuiteFlags {
  readonly shapes: Shape[];
  readonly dtypes: string[];
  readonly threads: number;
  readonly layers?: number;
  readonly dir?: string;
  readonly native?: boolean;
}

/** What one run of banks_child.ts prints. */
export interface BankRun {
  readonly banks: number;
  /** As planned before anything is read, and what the process took beyond one that has only planned. */
  readonly plannedBytes: number;
  readonly residentBytes: number;
  readonly loadSeconds: number;
  readonly promptTokensPerSecond: number;
  readonly newTokensPerSecond: number;
}

/** Models of 6 to 7 billion parameters at their published shapes, over banks: a prompt of 32 tokens and 20 new ones. */
export async function banks(flags: BanksFlags): Promise<void> {
  const report = new Report("banks", resultsOf(flags));
  const folder = flags.dir ?? mkdtempSync(join(tmpdir(), "lambent-banks-"));
  const add = report.table("a prompt of 32 tokens, 20 new ones", {
    model: "model",
    dtype: "dtype",
    banks: "banks",
    plannedGiB: "planned, GiB",
    residentGiB: "resident, GiB",
    loadSeconds: "load, s",
    promptTokensPerSecond: "prompt, tok/s",
    newTokensPerSecond: "new, tok/s",
    native: "native, tok/s",
    error: "error",
  });
  const layers = flags.quick ? 2 : flags.layers;
  try {
    for (const model of flags.quick ? flags.shapes.slice(0, 1) : flags.shapes) {
      const path = join(folder, model);
      if (!existsSync(path)) writeCheckpoint(model, path, { layers });
      const natives: PeerResult[] = [];
      if (flags.native) {
        const options = { shape: model, layers, threads: [flags.threads] };
        for await (const result of each(options, ["native"])) natives.push(result);
      }
      for (const dtype of flags.dtypes) {
        const native = natives.find(({ format }) => format.toLowerCase().startsWith(dtype));
        try {
          const { stdout } = await run(process.execPath, [CHILD, path, dtype, `${flags.threads}`]);
          const { plannedBytes, residentBytes, ...rest } = JSON.parse(stdout) as BankRun;
          const sizes = { plannedGiB: plannedBytes / 2 ** 30, residentGiB: residentBytes / 2 ** 30 };
          add({ model, dtype, ...rest, ...sizes, native: native?.decodeTokensPerSecond, error: native?.error });
        } catch (error) {
          add({ model, dtype, error: (error as Error).message });
        }
      }
      if (!flags.dir) rmSync(path, { recursive: true });
    }
  } finally {
    if (!flags.dir) rmSync(folder, { recursive: true });
  }
  await report.write();
}
