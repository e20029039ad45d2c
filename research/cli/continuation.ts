import type { Command } from "commander";
import { mismatch, OptionError } from "../../src/base/errors.ts";
import { whole } from "../../src/cli/options.ts";
import { Stages } from "../../src/cli/progress.ts";
import { write } from "../../src/cli/streams.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { dtypesOf } from "../../src/engine/snapshot.ts";
import { POLICIES, type PolicyName, type PolicyOptions } from "../../src/plan/policy.ts";
import {
  type Continuation,
  continuations,
  type Retruncation,
  retruncated,
  type Watch,
  windowsOf,
} from "../eval/continuation.ts";
import { type ScoredContinuation, scoreOf } from "../eval/continuation_scores.ts";
import { beginOf, type Document, documentOf } from "../eval/document.ts";
import {
  compareCost,
  computeSvg,
  HEADER,
  lengthSvg,
  line,
  type Row,
  rowCsv,
  verdictOf,
} from "./continuation_report.ts";
import { type EvalFlags, evalOptions, names, wholes } from "./options.ts";
import { type Json, type Results, withResults } from "./results.ts";
import { commandLine, type Subject, withSubject } from "./subject.ts";
import { textFiles } from "./texts.ts";

const NAME = "continuation";

interface Flags extends EvalFlags {
  readonly policies?: readonly PolicyName[];
  readonly lengths?: readonly number[];
  readonly newTokens: number;
  readonly windows?: readonly number[];
  readonly strides?: readonly number[];
  readonly nLocals?: readonly number[];
  readonly curve: boolean;
}

/** A system that continues a text: a policy, or re-truncation. */
export interface System {
  readonly name: string;
  /** Options of its engine's attention. */
  readonly options: PolicyOptions;
  readonly retruncation?: Retruncation;
  /** Tokens of the contexts. */
  readonly lengths: readonly number[];
}

export function addContinuation(evaluation: Command, signal: AbortSignal): void {
  evalOptions(evaluation.command(NAME), NAME)
    .description(
      "continue texts after contexts of each length: BLEU, ROUGE-L, NLL and cost per token (Tables 2, 3, Fig 6)",
    )
    .option("--policies <list>", "policies to compare (default: --attention and full)", names(POLICIES))
    .option("--lengths <list>", "tokens of the contexts (default: from half the trained length P to 32 P)", wholes(2))
    .option("--new-tokens <n>", "tokens to generate, greedily, after each context", whole(1), 100)
    .option("--windows <list>", "windows of re-truncation in tokens (default: P/8, P/4, P/2, P)", wholes(2))
    .option("--strides <list>", "tokens predicted between two re-readings (default: 1, P/16)", wholes(1))
    .option("--n-locals <list>", "n-local of Λ on the cost curve (default: P/8, P/4, P/2, P)", wholes(1))
    .option("--no-curve", "omit re-truncation and the cost curve")
    .addHelpText(
      "after",
      "\nA context is BOS and a text's first tokens; a text is read once per policy. Under re-truncation no token is\n" +
        "predicted from more than a window: when the cache holds that many, all but the oldest are read again into an\n" +
        "empty one, BOS first, with room for stride more tokens; with stride 1, a window is read for every token.\n" +
        "Re-truncation and the additional n-locals continue only the longest context. NLL is that of the true continuation.\n" +
        "The cost of a generated token includes what is re-read for it, but not the first reading of the context.",
    )
    .action((flags: Flags) => continuation(flags, signal));
}

async function continuation(flags: Flags, signal: AbortSignal): Promise<void> {
  const stages = new Stages();
  await withSubject(flags, signal, stages, async (subject) => {
    const { documents, lengths } = await documentsOf(flags, subject, signal);
    const systems = systemsOf(flags, subject, lengths);
    const plans = systems.map(({ options }) => subject.plan(options).plan);
    const parameters = {
      ...{
        model: subject.name,
        dtype: dtypesOf({ plan: plans[0] as Engine["plan"] }),
        cacheDtype: flags.cacheDtype ?? "f32",
      },
      ...{ newTokens: flags.newTokens, seed: flags.seed, texts: documents.map(({ name }) => name) },
      systems: systems.map((system, i) => ({ ...system, options: { ...(plans[i] as Engine["plan"]).policy } })),
    } as unknown as Json & object;
    await withResults(flags, NAME, parameters, signal, async (results) => {
      const run: Run = { flags, subject, documents, results, stages, signal };
      await write(`${HEADER}\n`);
      const rows: Row[] = [];
      try {
        for (const system of systems) {
          await measure(run, system);
          const found = rowsOf(run, system);
          rows.push(...found);
          await write(found.map((row) => `${line(row)}\n`).join(""));
        }
      } finally {
        stages.end();
      }
      const verdict = verdictOf(rows, flags.newTokens);
      await report(run, systems, rows, parameters, verdict);
      await write(`${verdict}\n`);
    });
  });
}

interface Run {
  readonly flags: Flags;
  readonly subject: Subject;
  readonly documents: readonly Document[];
  readonly results: Results;
  readonly stages: Stages;
  readonly signal: AbortSignal;
}

/** The texts, and the lengths for which all of them are long enough, including the tokens that follow. */
async function documentsOf(flags: Flags, { trainedLength, tokenizer, bos }: Subject, signal: AbortSignal) {
  const defaults = [0.5, 1, 2, 4, 8, 16, 32].map((factor) => Math.floor(factor * trainedLength));
  const asked = [...new Set(flags.lengths ?? defaults)].sort((a, b) => a - b);
  const longest = (asked.at(-1) as number) + flags.newTokens;
  const documents: Document[] = [];
  const read = flags.lengths ? documentOf : beginOf;
  for (const text of await textFiles(flags.text)) {
    signal.throwIfAborted();
    documents.push(await read(text.path, text.read, tokenizer, bos, longest));
  }
  const lengths = asked.filter((length) => documents.every(({ ids }) => ids.length >= length + flags.newTokens));
  if (lengths.length > 0) return { documents, lengths };
  const shortest = documents.reduce((a, b) => (a.ids.length <= b.ids.length ? a : b));
  const expected = `at least ${asked[0]} tokens and ${flags.newTokens} that follow`;
  throw new OptionError(mismatch(shortest.name, expected, shortest.ids.length));
}

/** Policies at every length; at the longest one also Λ with other windows, and re-truncation. */
function systemsOf(flags: Flags, subject: Subject, lengths: readonly number[]): System[] {
  const { trainedLength } = subject;
  const longest = lengths.at(-1) as number;
  const { nGlobal, nLocal, limit, newTokens } = flags;
  const policies = flags.policies ?? [...new Set<PolicyName>([flags.attention ?? "lambda", "full"])];
  const systems: System[] = policies.map((attention) => ({
    name: attention,
    options: { attention, nGlobal, nLocal, limit, maxPositions: longest + newTokens },
    lengths,
  }));
  if (!flags.curve) return systems;
  const parts = [8, 4, 2, 1].map((divisor) => Math.max(2, Math.floor(trainedLength / divisor)));
  const measured = policies.includes("lambda") ? subject.plan({ attention: "lambda" }).plan.policy.nLocal : undefined;
  for (const n of flags.nLocals ?? parts) {
    if (n === measured) continue;
    const options: PolicyOptions = { attention: "lambda", nGlobal, nLocal: n, limit };
    systems.push({ name: `lambda, nLocal ${n}`, options, lengths: [longest] });
  }
  const windows = flags.windows ?? parts;
  const options: PolicyOptions = { attention: "full", maxPositions: Math.max(...windows) };
  for (const stride of flags.strides ?? [...new Set([1, Math.max(1, Math.floor(trainedLength / 16))])]) {
    for (const window of windows) {
      const retruncation = { window, stride };
      windowsOf(longest, newTokens, retruncation, subject.bos === undefined ? 0 : 1);
      systems.push({ name: `re-truncation ${window}/${stride}`, options, retruncation, lengths: [longest] });
    }
  }
  return systems;
}

const unitOf = (document: Document, length: number, system: System) => `${document.name} ${length} ${system.name}`;

/** Continues every document with a system, unless that was done before. */
async function measure(run: Run, system: System): Promise<void> {
  const { flags, subject, documents, results, stages, signal } = run;
  const count = flags.newTokens;
  const work = documents.flatMap((document) => {
    const lengths = system.lengths.filter((length) => results.get(unitOf(document, length, system)) === undefined);
    return lengths.length > 0 ? [{ document, lengths }] : [];
  });
  if (work.length === 0) return;
  const engine = await subject.engine({ ...system.options, maxSessions: 2 });
  const total = work.reduce((sum, { lengths }) => sum + tokensOf(system, lengths, count), 0);
  let done = 0;
  const onTokens = (tokens: number) => {
    done += tokens;
    stages.update(system.name, done, total);
  };
  for (const { document, lengths } of work) {
    const found = continued(engine, system, document.ids, lengths, count, subject, { signal, onTokens });
    for await (const one of found) await results.keep(unitOf(document, one.length, system), { ...one });
  }
  stages.end();
}

/** Tokens that onTokens counts for one document. */
function tokensOf({ retruncation }: System, lengths: readonly number[], count: number): number {
  return lengths.length * count + (retruncation ? 0 : Math.max(...lengths) - 1);
}

async function* continued(
  engine: Engine,
  { retruncation }: System,
  ids: readonly number[],
  lengths: readonly number[],
  count: number,
  { bos }: Subject,
  watch: Watch,
): AsyncGenerator<Continuation> {
  if (!retruncation) return yield* continuations(engine, ids, lengths, count, watch);
  const bosTokens = bos === undefined ? 0 : 1;
  for (const length of lengths) yield retruncated(engine, ids, length, count, retruncation, bosTokens, watch);
}

function rowsOf(run: Run, system: System): Row[] {
  const { flags, documents } = run;
  const { attention, nLocal } = run.subject.plan(system.options).plan.policy;
  return system.lengths.map((length) => {
    const found = documents.map((document) => foundOf(run, document, length, system));
    const score = scoreOf(found, flags.newTokens, flags.seed);
    return { system: system.name, attention, nLocal, retruncation: system.retruncation, length, ...score };
  });
}

function foundOf(
  { flags, subject, results }: Run,
  document: Document,
  length: number,
  system: System,
): ScoredContinuation {
  const { ids, nll, flops, seconds } = results.get(unitOf(document, length, system)) as unknown as Continuation;
  const textOf = (tokens: readonly number[]) => subject.tokenizer.decode(tokens, { skipSpecialTokens: true });
  const truth = textOf(document.ids.slice(length, length + flags.newTokens));
  // Values that are not finite are null in JSON.
  return { text: textOf(ids), truth, nll: nll ?? Number.NaN, flops, seconds };
}

async function report(
  run: Run,
  systems: readonly System[],
  rows: readonly Row[],
  parameters: Json & object,
  verdict: string,
): Promise<void> {
  const { subject, documents, results } = run;
  const command = commandLine();
  const texts = systems.flatMap((system) =>
    system.lengths.flatMap((length) =>
      documents.map((document) => {
        const { truth: _, ...found } = foundOf(run, document, length, system);
        return { document: document.name, length, system: system.name, ...found };
      }),
    ),
  );
  const lengths = [...new Set(systems.flatMap((system) => system.lengths))];
  const truths = documents.flatMap((document) =>
    lengths.map((length) => {
      const { truth } = foundOf(run, document, length, systems.find((s) => s.lengths.includes(length)) as System);
      return { document: document.name, length, truth };
    }),
  );
  const whole = { ...subject.facts, parameters, verdict, rows, truths, texts };
  await results.write(`${NAME}.json`, `${JSON.stringify(whole, null, 1)}\n`);
  await results.write(`${NAME}.csv`, rowCsv(rows));
  await results.write(`${NAME}.svg`, await lengthSvg(rows, subject, command));
  const points = compareCost(rows);
  if (points.length > 0) await results.write(`${NAME}-cost.svg`, await computeSvg(points, subject, command));
}
