import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { interleave, median, timed } from "../interleave.ts";
import { Report } from "../report.ts";
import { resultsOf, type SuiteFlags } from "./options.ts";

const run = promisify(execFile);
const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export interface StartupFlags extends SuiteFlags {
  readonly model: string;
  readonly rounds: number;
}

/** Milliseconds from the start of a process to its end after one token, beside a process that does nothing. */
export async function startup(flags: StartupFlags): Promise<void> {
  const report = new Report("startup", resultsOf(flags));
  const bun = process.execPath;
  const generate = ["generate", "--model", flags.model, "--max-new-tokens", "1", "--temperature", "0", "Once"];
  const phases: Record<string, number>[] = [];
  const samples = await interleave(
    {
      generate: () => timed(() => run(bun, [file("../../src/cli/main.ts"), ...generate])),
      nothing: () => timed(() => run(bun, ["-e", "0"])),
      phases: () =>
        timed(async () => {
          const { stdout } = await run(bun, [file("./startup_child.ts"), flags.model]);
          phases.push(JSON.parse(stdout));
        }),
    },
    { time: 0, rounds: flags.quick ? 2 : flags.rounds },
  );
  const add = report.table("startup", { what: "what", ms: "ms" });
  add({ what: "bun -e 0", ms: samples.median("nothing") });
  add({ what: "generate, one token", ms: samples.median("generate") });
  for (const what of Object.keys(phases[0] ?? {})) {
    add({ what, ms: median(phases.map((phase) => phase[what] as number)) });
  }
  await report.write();
}
