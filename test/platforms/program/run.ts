/** Runs the job at a URL in the place where this is, and reports to the same URL. */
import type { Files } from "lambent";
import type { Host, Job, Program, Report } from "./job.ts";
import { speed } from "./speed.ts";
import { suite } from "./suite.ts";
import { travel } from "./travel.ts";

const PROGRAMS: Readonly<Record<Job["program"], Program>> = { suite, travel, speed };

export async function run(url: string, embedded?: Files): Promise<void> {
  const post = async (report: Report) => {
    await (await fetch(url, { method: "POST", body: JSON.stringify(report) })).text();
  };
  try {
    const { program, options } = (await (await fetch(url)).json()) as Job;
    const host: Host = {
      embedded,
      base: new URL("../", url).href,
      report: (value) => post({ kind: "progress", value }),
    };
    await post({ kind: "done", value: (await PROGRAMS[program](options as never, host)) ?? null });
  } catch (error) {
    await post({ kind: "failed", value: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
  }
}
