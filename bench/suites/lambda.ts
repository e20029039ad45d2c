import { freemem } from "node:os";
import { basename } from "node:path";
import { bytesPerKey, headFlops, stepCost } from "../cost.ts";
import { type Budget, type Contender, interleave, timed } from "../interleave.ts";
import { Report } from "../report.ts";
import { type Setup, Subject, someTokens } from "../subject.ts";
import { budgetOf, modelSuffix, resultsOf, type SuiteFlags } from "./options.ts";

/** LM-Infinite, appendix G: Llama-2-7B at 32k on one A100, full attention in parts of Λ. */
const PAPER = { position: 32768, encode: 3.16, decode: 2.72, memory: 7.53 };
const FIRST = 512;
/** Tokens that one policy reads before it is the other's turn. */
const STRIDE = 512;
const FLAT = [10_000, 1_000_000] as const;

export interface LambdaFlags extends SuiteFlags {
  readonly model: string;
  readonly dtype?: string;
  readonly cacheDtype?: string;
  readonly threads: number;
  readonly max?: number;
  readonly encodeMax?: number;
}

/** Λ against full attention: time per token, time to read a text, and bytes of a session, by position. */
export async function lambda(flags: LambdaFlags): Promise<void> {
  const { model, quick } = flags;
  const report = new Report(`lambda${modelSuffix(model)}`, resultsOf(flags));
  const budget = budgetOf(flags);
  const { cacheDtype, threads } = flags;
  const setup: Setup = {
    dtype: flags.dtype,
    cacheDtype,
    threads,
    attention: "lambda",
    maxSessions: 2,
  };
  const subject = await Subject.open(model, setup);
  const { nGlobal, nLocal, limit } = subject.plan.policy;
  report.note(
    `${basename(model)}: nGlobal ${nGlobal}, nLocal ${nLocal}, limit ${limit}; weights ${setup.dtype ?? "as stored"}`,
  );

  const { max = quick ? 1024 : 131072, encodeMax = quick ? 1024 : 32768 } = flags;
  const steps = await decodeTimes(report, subject, model, setup, max, budget);
  const texts = await encodeTimes(report, subject, model, setup, encodeMax);
  compare(report, steps, texts);
  await flat(report, subject, budget);
  await subject.close();
  await report.write();
}

interface Step {
  readonly position: number;
  readonly lambdaMs: number;
  readonly fullMs: number | undefined;
  readonly ratio: number | undefined;
  readonly bound: number;
  readonly lambdaMB: number;
  readonly fullMB: number;
}

/** Milliseconds of one token at every power of two; both policies and the read loop in turns. */
async function decodeTimes(
  report: Report,
  lambda: Subject,
  model: string,
  setup: Setup,
  max: number,
  budget: Budget,
): Promise<Step[]> {
  const add = report.table("one token at a position", {
    position: "position",
    lambdaMs: "Λ, ms",
    fullMs: "full, ms",
    ratio: "full / Λ",
    bound: "by bytes",
    lambdaOfRead: "Λ, of read",
    fullOfRead: "full, of read",
    lambdaMB: "Λ session, MB",
    fullMB: "full session, MB",
    missing: "full needs",
  });
  const steps: Step[] = [];
  for (const position of powers(max)) {
    const full = await openFull(lambda, model, setup, position + 1);
    const near = lambda.place(position);
    const far = full instanceof Subject ? full.place(position) : undefined;
    const contenders: Record<string, Contender> = {
      lambda: () => near.decode(),
      lambdaRead: () => lambda.read(position),
    };
    if (far && full instanceof Subject) {
      contenders.full = () => far.decode();
      contenders.fullRead = () => full.read(position);
    }
    const samples = await interleave(contenders, budget);
    const step = {
      position,
      lambdaMs: samples.median("lambda"),
      fullMs: far && samples.median("full"),
      ratio: far && samples.ratio("full", "lambda"),
      bound: stepCost(lambda.plan, position, position + 1).bytes / lambda.cost(position).bytes,
      lambdaMB: lambda.plan.cacheBytes / 1e6,
      fullMB: (bytesPerKey(lambda.plan) * (position + 1)) / 1e6,
    };
    add({
      ...step,
      lambdaOfRead: samples.ratio("lambdaRead", "lambda"),
      fullOfRead: far && samples.ratio("fullRead", "full"),
      missing: full instanceof Subject ? undefined : `${(full / 2 ** 30).toFixed(1)} GiB`,
    });
    steps.push(step);
    near.close();
    if (full instanceof Subject) await full.close();
  }
  const lines = (lambdaKey: "lambdaMs" | "lambdaMB", fullKey: "fullMs" | "fullMB") =>
    steps.flatMap((step) => [
      { position: step.position, policy: "Λ", value: step[lambdaKey] },
      { position: step.position, policy: "full", value: step[fullKey] },
    ]);
  const axes = { x: { field: "position", title: "position, tokens" }, series: "policy" };
  const label = basename(model);
  const times = lines("lambdaMs", "fullMs");
  report.chart("decode", { title: `One token, ${label}`, ...axes, y: { field: "value", title: "ms" }, values: times });
  const sizes = lines("lambdaMB", "fullMB");
  report.chart("session", {
    title: `A session's cache, ${label}`,
    ...axes,
    y: { field: "value", title: "MB" },
    values: sizes,
  });
  return steps;
}

interface Text {
  readonly tokens: number;
  readonly lambdaSeconds: number;
  readonly fullSeconds: number | undefined;
  readonly ratio: number | undefined;
  readonly bound: number;
}

/** Seconds of reading the first n tokens, the policies in turns of 512 tokens. */
async function encodeTimes(report: Report, lambda: Subject, model: string, setup: Setup, max: number): Promise<Text[]> {
  const add = report.table("reading a text", {
    tokens: "tokens",
    lambdaSeconds: "Λ, s",
    fullSeconds: "full, s",
    ratio: "full / Λ",
    bound: "by flops",
  });
  const full = await openFull(lambda, model, setup, max + 1);
  const readers = [lambda, ...(full instanceof Subject ? [full] : [])].map(({ engine }) => {
    const session = engine.open(0, 1);
    const tokens = someTokens(STRIDE, engine.program.vocabSize);
    return {
      close: () => engine.dispose(session),
      read: () => timed(() => engine.append(session, tokens)),
      seconds: 0,
    };
  });
  const marks = new Set(powers(max));
  const head = headFlops(lambda.plan);
  const flops = { lambda: 0, full: 0 };
  const texts: Text[] = [];
  for (let tokens = STRIDE; tokens <= max; tokens += STRIDE) {
    for (const reader of readers) reader.seconds += (await reader.read()) / 1000;
    for (let position = tokens - STRIDE; position < tokens; position++) {
      flops.lambda += lambda.cost(position).flops - head;
      flops.full += stepCost(lambda.plan, position, position + 1).flops - head;
    }
    if (!marks.has(tokens)) continue;
    const [lambdaSeconds, fullSeconds] = readers.map(({ seconds }) => seconds) as [number, number | undefined];
    const ratio = fullSeconds && fullSeconds / lambdaSeconds;
    const text = { tokens, lambdaSeconds, fullSeconds, ratio, bound: flops.full / flops.lambda };
    add({ ...text });
    texts.push(text);
  }
  for (const reader of readers) reader.close();
  if (full instanceof Subject) await full.close();
  const values = texts.flatMap(({ tokens, lambdaSeconds, fullSeconds }) => [
    { tokens, policy: "Λ", seconds: lambdaSeconds },
    { tokens, policy: "full", seconds: fullSeconds },
  ]);
  const label = basename(model);
  const [x, y] = [
    { field: "tokens", title: "tokens" },
    { field: "seconds", title: "s" },
  ];
  report.chart("encode", { title: `Reading a text, ${label}`, x, y, series: "policy", values });
  return texts;
}

/** The paper's three ratios beside ours, at its length or at the longest that was measured. */
function compare(report: Report, steps: readonly Step[], texts: readonly Text[]): void {
  const add = report.table("full in parts of Λ", {
    what: "what",
    at: "tokens",
    paper: "the paper, at 32k",
    ours: "ours",
    bound: "bound by arithmetic",
  });
  const step = steps.findLast(({ position, ratio }) => position <= PAPER.position && ratio !== undefined);
  const text = texts.findLast(({ tokens, ratio }) => tokens <= PAPER.position && ratio !== undefined);
  if (text) add({ what: "encode", at: text.tokens, paper: PAPER.encode, ours: text.ratio, bound: text.bound });
  if (!step) return;
  add({ what: "decode", at: step.position, paper: PAPER.decode, ours: step.ratio, bound: step.bound });
  const memory = step.fullMB / step.lambdaMB;
  add({ what: "session bytes", at: step.position, paper: PAPER.memory, ours: memory, bound: memory });
}

/** One token at 10^6 beside one at 10^4. */
async function flat(report: Report, lambda: Subject, budget: Budget): Promise<void> {
  const [early, late] = [lambda.place(FLAT[0]), lambda.place(FLAT[1])];
  const samples = await interleave({ early: () => early.decode(), late: () => late.decode() }, budget);
  early.close();
  late.close();
  const [earlyMs, lateMs] = [samples.median("early"), samples.median("late")];
  const add = report.table("flat", { earlyMs: "10^4, ms", lateMs: "10^6, ms", ratio: "10^6 / 10^4" });
  add({ earlyMs, lateMs, ratio: lateMs / earlyMs });
}

/** The same model under full attention; where it does not fit, the bytes that it would need. */
async function openFull(lambda: Subject, model: string, setup: Setup, maxPositions: number): Promise<Subject | number> {
  const needed = lambda.plan.weightBytes + bytesPerKey(lambda.plan) * maxPositions;
  if (needed > 0.9 * freemem()) return needed;
  try {
    return await Subject.open(model, { ...setup, attention: "full", maxPositions, maxSessions: 1 });
  } catch (error) {
    if ((error as Error).message.startsWith("memory")) return needed;
    throw error;
  }
}

/** FIRST, twice as much, … up to `max`. */
function powers(max: number): number[] {
  const list: number[] = [];
  for (let position = FIRST; position <= max; position *= 2) list.push(position);
  return list;
}
