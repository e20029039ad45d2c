import { basename } from "node:path";
import type { Command } from "commander";
import type { TopLevelSpec } from "vega-lite";
import { whole } from "../../src/cli/options.ts";
import { Stages } from "../../src/cli/progress.ts";
import { write } from "../../src/cli/streams.ts";
import { between, edgesOf, positionsOf, spansOf, tailOf } from "../eval/nll.ts";
import type { Interval } from "../eval/statistics.ts";
import { nllChart } from "./nll_chart.ts";
import { type EvalFlags, evalOptions, wholes } from "./options.ts";
import { svg } from "./plot.ts";
import { csv, withResults } from "./results.ts";
import { ratioOf, readDocuments, type Scored, scoreAll, scoringParameters, type Variant } from "./scoring.ts";
import { type Subject, withSubject } from "./subject.ts";
import { table } from "./table.ts";
import { textFiles } from "./texts.ts";

interface AblationFlags extends EvalFlags {
  readonly length?: number;
  readonly documents?: number;
  readonly nGlobals: readonly number[];
  readonly nLocals?: readonly number[];
  readonly limits?: readonly number[];
}

/** What the paper removes from Λ-attention (Fig. 5), and what it is compared with. */
const POLICIES = ["lambda", "lambda-only", "ceiling-only", "window", "sinks", "full"] as const;

export function addAblation(evaluation: Command, signal: AbortSignal): void {
  evalOptions(evaluation.command("ablation"), "ablation")
    .description("what each part of Λ-attention does: NLL without it, and by nGlobal, nLocal and limit (paper: Fig. 5)")
    .option("--length <n>", "tokens of each document, BOS included (default: 8 times the trained length)", whole(2))
    .option("--documents <n>", "use only the first n texts", whole(1))
    .option("--n-globals <list>", "numbers of first tokens under lambda", wholes(0), [0, 1, 2, 10, 100])
    .option(
      "--n-locals <list>",
      "windows under lambda (default: 1/8, 1/4, 1/2 of the trained length, and all)",
      wholes(1),
    )
    .option(
      "--limits <list>",
      "ceilings under lambda, with half of the trained length as nLocal (default: 1/2, 1, 2, 4 times it)",
      wholes(1),
    )
    .action((flags: AblationFlags) => run(flags, signal));
}

/** A variant of one of the sweeps: the parameter, and its value. */
interface Swept extends Variant {
  readonly sweep?: "nGlobal" | "nLocal" | "limit";
  readonly value?: number;
}

function variantsOf(
  { nGlobals, nLocals, limits, nGlobal, nLocal, limit }: AblationFlags,
  { trainedLength }: Subject,
): Swept[] {
  const base = { nGlobal, nLocal, limit };
  const part = (share: number) => Math.max(1, Math.floor(trainedLength * share));
  const swept = (sweep: "nGlobal" | "nLocal" | "limit", value: number, options: Variant["options"]): Swept => ({
    name: `${sweep} ${value}`,
    options: { ...base, ...options, attention: "lambda" },
    ...{ sweep, value },
  });
  const half = nLocal ?? part(1 / 2);
  return [
    ...POLICIES.map((attention) => ({ name: attention, options: { ...base, attention } })),
    { name: "retruncation", options: {}, retruncation: { window: trainedLength, stride: part(1 / 2) } },
    ...nGlobals.map((value) => swept("nGlobal", value, { nGlobal: value })),
    ...(nLocals ?? [1 / 8, 1 / 4, 1 / 2, 1].map(part)).map((value) =>
      swept("nLocal", value, { nLocal: value, limit: value }),
    ),
    ...(limits ?? [1 / 2, 1, 2, 4].map(part)).map((value) =>
      swept("limit", value, { nLocal: Math.min(half, value), limit: value }),
    ),
  ];
}

async function run(flags: AblationFlags, signal: AbortSignal): Promise<void> {
  const stages = new Stages();
  const files = (await textFiles(flags.text)).slice(0, flags.documents);
  await withSubject(flags, signal, stages, async (subject) => {
    const { name, trainedLength } = subject;
    const length = flags.length ?? 8 * trainedLength;
    const variants = variantsOf(flags, subject);
    const parameters = scoringParameters(flags, subject, files, variants, length);
    return withResults(flags, "ablation", parameters, signal, async (results) => {
      const documents = await readDocuments(files, subject, length, stages, signal);
      const edges = edgesOf(1, length, []);
      const [from, to] = [tailOf(1, length), length];
      await write(`${name}: ${documents.length} documents of ${length} tokens, trained length ${trainedLength}\n`);
      const scored = await scoreAll(subject, documents, variants, edges, spansOf(1, length), results, stages, signal);
      const base = scored.find(({ variant }) => variant.retruncation) as Scored;
      const rows = scored.map((one) => {
        const { policy, variant, documents: found } = one;
        const { sweep, value } = variant as Swept;
        const over: Interval = ratioOf(one, base, edges, from, to, flags.seed);
        return {
          ...{
            variant: variant.name,
            attention: policy.attention,
            nGlobal: policy.nGlobal,
            nLocal: policy.nLocal,
            limit: policy.limit,
          },
          nll: between(found, edges, from, to).mean,
          ...{ "over re-truncation": over.value, low: over.low, high: over.high },
          ...{ sweep, value },
        };
      });
      const show = rows.map(({ sweep: _, value: __, ...row }) => row);
      await write(
        `\nNLL of positions ${from}–${to - 1}, and its ratio to that of re-truncation (95 % bootstrap over documents)\n${table(show)}`,
      );
      const verdict = verdictOf(rows);
      const result = { ...subject.facts, parameters, from, to, rows, verdict };
      await results.write("ablation.json", `${JSON.stringify(result, null, 2)}\n`);
      await results.write("ablation.csv", csv(rows));
      await results.write("ablation.svg", await svg(await chart(scored, rows, subject, length)));
      await write(`\nwritten to ${flags.out}: ablation.json, ablation.csv, ablation.svg\n${verdict}\n`);
    });
  });
}

/** Which variants are more than 2 % worse than re-truncation at the end of the text. */
export function verdictOf(
  rows: readonly {
    readonly variant: string;
    readonly sweep?: string | undefined;
    readonly "over re-truncation": number;
  }[],
): string {
  const policies = rows.filter(({ sweep, variant }) => !sweep && variant !== "retruncation");
  const holds = (row: (typeof rows)[number]) => row["over re-truncation"] <= 1.02;
  const nan = policies.filter((row) => Number.isNaN(row["over re-truncation"]));
  const fails = policies.filter((row) => !holds(row) && !nan.includes(row));
  const list = (some: typeof policies) => some.map(({ variant }) => variant).join(", ") || "none";
  const text = `within 2 % of re-truncation: ${list(policies.filter(holds))}; beyond it: ${list(fails)}`;
  return nan.length > 0 ? `${text}; NaN: ${list(nan)}` : text;
}

async function chart(
  scored: readonly Scored[],
  rows: readonly { readonly sweep?: string | undefined; readonly value?: number | undefined; readonly nll: number }[],
  subject: Subject,
  length: number,
): Promise<TopLevelSpec> {
  const { title, ...curves } = await nllChart(
    `What each part of Λ-attention does: ${basename(subject.name)}`,
    scored.filter(({ variant }) => !(variant as Swept).sweep),
    subject,
    positionsOf(spansOf(1, length)),
  );
  const missing = (name: string) => rows.filter((row) => row.sweep === name && Number.isNaN(row.nll));
  const sweep = (name: string, what: string): object => ({
    ...(missing(name).length > 0 && { title: `NaN at ${missing(name).map(({ value }) => value)}` }),
    width: 180,
    height: 140,
    data: {
      values: rows
        .filter((row) => row.sweep === name && !Number.isNaN(row.nll))
        .map(({ value, nll }) => ({ value, nll })),
    },
    mark: { type: "line", point: true },
    encoding: {
      x: {
        field: "value",
        type: "quantitative",
        title: what,
        scale: { type: "symlog" },
        axis: { format: "d", values: rows.filter((row) => row.sweep === name).map((row) => row.value) },
      },
      y: { field: "nll", type: "quantitative", title: "NLL at the end (nats)", scale: { zero: false } },
    },
  });
  return {
    title,
    vconcat: [
      curves,
      {
        hconcat: [
          sweep("nGlobal", "nGlobal (tokens)"),
          sweep("nLocal", "nLocal = limit (tokens)"),
          sweep("limit", "limit (tokens)"),
        ],
      },
    ],
  } as TopLevelSpec;
}
