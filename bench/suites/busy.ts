import { spawn } from "node:child_process";
import { once } from "node:events";
import { median } from "../interleave.ts";
import { cleanUp } from "../peers/child.ts";
import { Report } from "../report.ts";
import { type Place, Subject } from "../subject.ts";
import { modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";

export interface BusyFlags extends SuiteFlags {
  readonly model: string;
  readonly dtype?: string;
  readonly position: number;
}

/** Another program that keeps a core busy. */
const LOOP = "for (;;);";

/** Tokens with two threads while another program keeps a core busy, and once it has ended, beside one thread. */
export async function busy(flags: BusyFlags): Promise<void> {
  const { model, dtype, position, quick } = flags;
  const report = new Report(`busy${modelSuffix(model)}`, resultsOf(flags));
  const add = report.table(`tokens per second at position ${position}, in each second`, {
    ...{ when: "when", second: "second", one: "one thread", two: "two threads", ofOne: "of one" },
  });
  const open = (threads: number) => Subject.open(model, { dtype, threads, maxPositions: position + 2 });
  const subjects = [await open(1), await open(2)] as const;
  const [one, two] = [subjects[0].place(position), subjects[1].place(position)];
  const ms = quick ? 50 : 1000;
  const seconds = quick ? 1 : 3;
  /** `alone`: what one thread reaches, if that was measured when as many cores were free. */
  const measure = async (when: string, alone?: number) => {
    let single = alone;
    for (let second = 1; second <= seconds; second++) {
      const both = await rateOf(two, ms);
      single ??= await rateOf(one, ms);
      add({ when, second, one: single, two: both, ofOne: both / single });
    }
    return single;
  };
  const before = await measure("both cores free");
  const child = spawn(process.execPath, ["-e", LOOP], { stdio: "ignore" });
  using clean = cleanUp(() => child.kill("SIGKILL"));
  await measure("one core busy");
  const ended = once(child, "exit");
  clean[Symbol.dispose]();
  await ended;
  await measure("free again", before);
  for (const subject of subjects) await subject.close();
  await report.write();
}

/** Tokens per second, by the median token of so many milliseconds. */
async function rateOf(place: Place, ms: number): Promise<number> {
  const times: number[] = [];
  for (const begun = performance.now(); performance.now() - begun < ms; ) times.push(await place.decode());
  return 1000 / median(times);
}
