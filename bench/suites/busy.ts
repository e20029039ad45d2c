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
  const [alone, both] = [
    await Subject.open(model, { dtype, threads: 1, maxPositions: position + 2 }),
    await Subject.open(model, { dtype, threads: 2, maxPositions: position + 2 }),
  ];
  const [one, two] = [alone.place(position), both.place(position)];
  const ms = quick ? 50 : 1000;
  const seconds = quick ? 1 : 3;
  const measure = async (when: string, with1?: number) => {
    let ofOne = with1;
    for (let second = 1; second <= seconds; second++) {
      const rate = await rateOf(two, ms);
      ofOne ??= await rateOf(one, ms);
      add({ when, second, one: ofOne, two: rate, ofOne: rate / ofOne });
    }
    return ofOne;
  };
  const before = await measure("both cores free");
  const child = spawn(process.execPath, ["-e", LOOP], { stdio: "ignore" });
  using clean = cleanUp(() => child.kill("SIGKILL"));
  await measure("one core busy");
  const ended = once(child, "exit");
  clean[Symbol.dispose]();
  await ended;
  await measure("free again", before);
  await alone.close();
  await both.close();
  await report.write();
}

/** Tokens per second, by the median token of so many milliseconds. */
async function rateOf(place: Place, ms: number): Promise<number> {
  const times: number[] = [];
  for (const begun = performance.now(); performance.now() - begun < ms; ) times.push(await place.decode());
  return 1000 / median(times);
}
