import { median } from "../interleave.ts";
import { Clock, type Method, recordTimes } from "../parts.ts";
import { Report } from "../report.ts";
import { Subject } from "../subject.ts";
import { modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";

export interface StepFlags extends SuiteFlags {
  readonly model: string;
  readonly dtype?: string;
  readonly threads: number[];
  readonly position: number;
}

/** How long whole tokens are measured, and their records again. */
const BUDGET_MS = 4000;
/** Before that: the engine compiles kernels beside the first steps, on the second core. */
const WARM_MS = 2000;

/** One token, by part: every kind of record alone, and what a step costs beside them. */
export async function step(flags: StepFlags): Promise<void> {
  const { model, dtype, position, quick } = flags;
  const report = new Report(`step${modelSuffix(model)}`, resultsOf(flags));
  const add = report.table(`one token at position ${position}, in microseconds`, {
    ...{ threads: "threads", part: "part", count: "records", us: "µs", share: "of all", gbs: "GB/s" },
    ofRead: "of read",
    gops: "Gop/s",
  });
  for (const threads of flags.threads) {
    const subject = await Subject.open(model, { dtype, threads, maxPositions: position + 2 });
    const place = subject.place(position);
    const once = await place.decode();
    const rounds = quick ? 8 : Math.max(20, Math.min(400, Math.round(BUDGET_MS / once)));
    for (const end = performance.now() + (quick ? 0 : WARM_MS); performance.now() < end; ) await place.decode();
    for (const part of partsOf(await timesOf(subject, () => place.decode(), position, rounds)))
      add({ threads, ...part });
    place.close();
    await subject.close();
  }
  await report.write();
}

interface Times {
  /** Of a whole token, and of what is called in it. */
  readonly token: number;
  readonly methods: Readonly<Record<Method, number>>;
  readonly kinds: ReturnType<typeof recordTimes>;
  /** The read loop over the bytes that a step reads, with as many threads, and with one. */
  readonly readGBs: number;
  readonly threads: number;
}

async function timesOf(subject: Subject, decode: () => Promise<number>, position: number, rounds: number) {
  const tokens: number[] = [];
  const spent: Record<Method, number[]> = { step: [], choosing: [], hashing: [] };
  using clock = new Clock();
  for (let round = -rounds / 4; round < rounds; round++) {
    const ms = await decode();
    const methods = clock.take();
    if (round < 0) continue;
    tokens.push(ms);
    for (const name of Object.keys(spent) as Method[]) spent[name].push(methods[name]);
  }
  const middle = (name: Method) => median(spent[name]);
  const reads = Array.from({ length: 9 }, () => subject.read(position));
  const { threads } = subject;
  return {
    ...{ token: median(tokens), threads, readGBs: subject.cost(position).bytes / median(reads) / 1e6 },
    methods: { step: middle("step"), choosing: middle("choosing"), hashing: middle("hashing") },
    kinds: clock.machine ? recordTimes(subject, clock.machine, position, rounds) : [],
  };
}

/** The parts of a token, the longest first, then what lies between them. */
function partsOf({ token, methods, kinds, readGBs, threads }: Times) {
  const records = kinds.reduce((sum, { ms }) => sum + ms, 0);
  const share = (ms: number) => ({ us: 1000 * ms, share: ms / token });
  const bytes = kinds.reduce((sum, kind) => sum + kind.bytes, 0);
  const whole = { part: "a token", ...share(token), gbs: bytes / token / 1e6, ofRead: bytes / token / 1e6 / readGBs };
  const alone = kinds
    .toSorted((a, b) => b.ms - a.ms)
    .map(({ name, count, ms, bytes: read, operations }) => ({
      ...{ part: `${name}, one thread`, count, ...share(ms) },
      ...(read > 0 && threads === 1 ? { gbs: read / ms / 1e6, ofRead: read / ms / 1e6 / readGBs } : {}),
      gops: operations / ms / 1e6,
    }));
  return [
    whole,
    ...alone,
    { part: "all records by all threads", ...share(methods.step) },
    // Where threads share the records evenly nothing is left but meeting and waiting.
    { part: threads === 1 ? "between records" : "meeting and waiting", ...share(methods.step - records / threads) },
    { part: "choosing", ...share(methods.choosing) },
    { part: "hashing logits", ...share(methods.hashing) },
    {
      part: "event loop and the rest",
      ...share(token - methods.step - methods.choosing - methods.hashing),
    },
  ];
}
