import { basename } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { mismatch, OptionError } from "../../src/base/errors.ts";
import { whole } from "../../src/cli/options.ts";
import { Stages } from "../../src/cli/progress.ts";
import { write } from "../../src/cli/streams.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { textBytes } from "../eval/document.ts";
import {
  between,
  countIn,
  edgesOf,
  positionsOf,
  READINGS,
  type Reading,
  type Span,
  spansOf,
  tailOf,
} from "../eval/nll.ts";
import { nllChart } from "./nll_chart.ts";
import { nllCsv, nllTensors } from "./nll_files.ts";
import { type EvalFlags, evalOptions, names, ownNames, wholes } from "./options.ts";
import { svg } from "./plot.ts";
import { csv, withResults } from "./results.ts";
import { ratioOf, readDocuments, type Scored, scoreAll, scoringParameters, type Variant } from "./scoring.ts";
import { type Subject, withSubject } from "./subject.ts";
import { table } from "./table.ts";
import { type TextFile, textFiles } from "./texts.ts";

export interface NllFlags extends EvalFlags {
  readonly length?: number;
  readonly from: number;
  readonly every: number;
  readonly lengths?: number[];
  readonly policies?: readonly NamedReading[];
  readonly models?: readonly string[];
  readonly window?: number;
  readonly stride?: number;
  readonly documents?: number;
}

/** A reading with a window of its own, or that of --n-local. */
interface NamedReading {
  readonly name: string;
  readonly reading: Reading;
  readonly nLocal?: number;
}

/** Readings, separated by commas, each with ":" and its nLocal where it has one of its own. */
function readings(list: string): NamedReading[] {
  const each = [...new Set(list.split(",").map((name) => name.trim()))];
  const known = names(READINGS)(each.map((name) => name.split(":", 1)[0]).join());
  return each.map((name) => {
    const [first, ...more] = name.split(":");
    const reading = known.find((one) => one === first) as Reading;
    if (more.length === 0) return { name, reading };
    if (more.length === 1 && WINDOWED.has(reading)) return { name, reading, nLocal: whole(1)(more[0] as string) };
    throw new InvalidArgumentError(`expected ":" and nLocal behind one of ${[...WINDOWED].join(", ")}, found ${name}`);
  });
}

const WINDOWED: ReadonlySet<Reading> = new Set(["lambda", "window", "sinks", "lambda-only"]);

export function addNll(evaluation: Command, signal: AbortSignal): void {
  evalOptions(evaluation.command("nll"), "nll")
    .description("NLL by position and perplexity by length, under several attention policies (paper: Fig. 3, Table 1)")
    .option("--length <n>", "tokens of each document, BOS included (default: 8 times the trained length)", whole(2))
    .option(
      "--policies <list>",
      `what is compared, of ${READINGS.join(", ")}; "lambda:512" is lambda with --n-local 512 (default: that of --attention, full, retruncation)`,
      readings,
    )
    .option("--from <position>", "score only from this position on; earlier tokens are still read", whole(1), 1)
    .option(
      "--every <n>",
      "score only the last of every n spans of 1,024 tokens, counted from the end; all tokens are still read",
      whole(1),
      1,
    )
    .option("--lengths <list>", "lengths of the perplexity table (default: powers of two)", wholes(2))
    .option("--documents <n>", "use only the first n texts", whole(1))
    .addOption(
      new Option("--models <where...>", "several models, instead of --model; each gets its own directory").conflicts(
        "model",
      ),
    )
    .option("--window <n>", "re-truncation: tokens per window (default: the trained length)", whole(2))
    .option("--stride <n>", "re-truncation: tokens between two windows (default: half of the window)", whole(1))
    .addHelpText("after", HELP)
    .action((flags: NllFlags) => run(flags, signal));
}

const HELP = `
A document is BOS and a file's first tokens. Its NLL at position p ≥ 1 is that of token p given all tokens before it, in
nats; none is left out at chunk boundaries, and NaN stays NaN. Writes nll.safetensors (one F32 tensor [documents, scored tokens]
per policy), nll.json, nll.csv and nll.svg.`;

async function run(flags: NllFlags, signal: AbortSignal): Promise<void> {
  const stages = new Stages();
  const files = (await textFiles(flags.text)).slice(0, flags.documents);
  const rows: Record<string, string | number>[] = [];
  ownNames(flags.models ?? []);
  for (const model of flags.models ?? [flags.model]) {
    const out = flags.models ? `${flags.out}/${basename(model as string)}` : flags.out;
    rows.push(...(await measure({ ...flags, ...(model === undefined ? {} : { model }), out }, files, stages, signal)));
  }
  if (!flags.models) return;
  await write(`\nperplexity of whole texts by length\n${table(rows)}`);
  await withResults(flags, "perplexity", {}, signal, (results) => results.write("perplexity.csv", csv(rows)));
}

/** Evaluates one model and writes its files of results; returns its rows of the perplexity table. */
function measure(flags: NllFlags, files: readonly TextFile[], stages: Stages, signal: AbortSignal) {
  return withSubject(flags, signal, stages, async (subject) => {
    const { name, tokenizer, trainedLength } = subject;
    const length = flags.length ?? 8 * trainedLength;
    const usual = new Set<Reading>([flags.attention ?? "lambda", "full", "retruncation"]);
    const policies = flags.policies ?? [...usual].map((reading) => ({ name: reading, reading }));
    const variants = policies.map((reading) => variantOf(reading, flags, subject));
    const { from, every } = flags;
    if (from >= length) throw new OptionError(mismatch("from", `less than the length (${length})`, from));
    if (every > 1 && variants.some(({ retruncation }) => retruncation)) {
      throw new OptionError(mismatch("every", "1 with retruncation, which reads only what it scores", every));
    }
    const spans = spansOf(from, length, every);
    const positions = positionsOf(spans);
    const scorable = (n: number) => n <= length && countIn(spans, from, n) > 0;
    const all = [...new Set([...(flags.lengths ?? powersOfTwo(length)).filter(scorable), length])];
    const parameters = { ...scoringParameters(flags, subject, files, variants, length), from, every, lengths: all };
    return withResults(flags, "nll", parameters, signal, async (results) => {
      const documents = await readDocuments(files, subject, length, stages, signal);
      const edges = edgesOf(from, length, all);
      await write(`${name}: ${documents.length} documents of ${length} tokens, trained length ${trainedLength}\n`);
      const scored = await scoreAll(subject, documents, variants, edges, spans, results, stages, signal);
      const bytes = all.map((n) =>
        documents.reduce((sum, { ids }) => sum + scoredBytes(tokenizer, ids.slice(0, n), spans), 0),
      );
      const perplexities = scored.map(({ variant, documents: found }) => ({
        policy: variant.name,
        lengths: all.map((n, i) => perplexityOf(found, edges, from, n, bytes[i] as number)),
      }));
      const ends = endsOf(scored, edges, length, flags.seed);
      const verdict = verdictOf(ends, trainedLength);
      const result = {
        ...subject.facts,
        parameters,
        bands: scored.map(({ variant, policy, documents: found }) => ({
          policy: variant.name,
          ...policy,
          bands: edges
            .slice(1)
            .map((to, i) => ({ from: edges[i], to, ...between(found, edges, edges[i] as number, to) })),
        })),
        ...{ trainedLength, perplexities, ends, verdict },
      };
      const rows = perplexities.map(({ policy, lengths: found }) => ({
        model: basename(name),
        policy,
        ...Object.fromEntries(found.map(({ length: n, perplexity }) => [`${n} tokens`, perplexity])),
        "bits per byte": found.at(-1)?.bitsPerByte as number,
      }));
      await write(`\nperplexity of whole texts by length\n${table(rows)}`);
      await results.write("nll.json", `${JSON.stringify(result, null, 2)}\n`);
      await results.write("nll.safetensors", nllTensors(scored, positions.length));
      await results.write("nll.csv", nllCsv(scored, positions));
      await results.write(
        "nll.svg",
        await svg(await nllChart(`NLL by position: ${basename(name)}`, scored, subject, positions)),
      );
      await write(`\nwritten to ${flags.out}: nll.json, nll.csv, nll.svg, nll.safetensors\n${verdict}\n`);
      return rows;
    });
  });
}

/** UTF-8 bytes of the tokens of spans. */
function scoredBytes(tokenizer: Tokenizer, ids: readonly number[], spans: readonly Span[]): number {
  return spans.reduce((sum, { from, to }) => sum + textBytes(tokenizer, ids.slice(from, to)), 0);
}

/** Of texts from token `from` to `length`, which have these bytes together. */
function perplexityOf(
  found: Parameters<typeof between>[0],
  edges: readonly number[],
  from: number,
  length: number,
  bytes: number,
) {
  const { mean: nll, tokens, nan } = between(found, edges, from, length);
  const tailNll = between(found, edges, tailOf(from, length), length).mean;
  const bitsPerByte = (nll * tokens) / Math.LN2 / bytes;
  return { length, nll, perplexity: Math.exp(nll), tailNll, bitsPerByte, nan };
}

/** A reading of the flags as a variant. Throws OptionError if re-truncation's stride is not less than its window. */
function variantOf({ name, reading, nLocal: own }: NamedReading, flags: NllFlags, { trainedLength }: Subject): Variant {
  const { nGlobal, nLocal, limit } = flags;
  if (reading !== "retruncation") {
    const window = own === undefined ? { nLocal, limit } : { nLocal: own };
    return { name, options: { attention: reading, nGlobal, ...window } };
  }
  const window = flags.window ?? trainedLength;
  const stride = flags.stride ?? Math.max(1, Math.floor(window / 2));
  if (stride >= window) throw new OptionError(mismatch("stride", `less than the window (${window})`, stride));
  return { name, options: {}, retruncation: { window, stride } };
}

function powersOfTwo(length: number): number[] {
  const all: number[] = [];
  for (let n = 512; n <= length; n *= 2) all.push(n);
  return all;
}

/** The result of each variant at the texts' end, also relative to re-truncation. */
function endsOf(scored: readonly Scored[], edges: readonly number[], length: number, seed: number) {
  const from = tailOf(edges[0] as number, length);
  const base = scored.find(({ variant }) => variant.retruncation);
  return scored.map((one) => ({
    ...{ policy: one.variant.name, from, to: length },
    nll: between(one.documents, edges, from, length).mean,
    overRetruncation: base && one !== base ? ratioOf(one, base, edges, from, length, seed) : undefined,
  }));
}

function verdictOf(ends: ReturnType<typeof endsOf>, trainedLength: number): string {
  const { from, to } = ends[0] as (typeof ends)[number];
  const nlls = ends.map(({ policy, nll }) => `${policy} ${Number.isNaN(nll) ? "NaN" : nll.toFixed(3)}`);
  const over = ends.flatMap(({ policy, overRetruncation: ratio }) =>
    ratio ? [`${policy} ${percent(ratio.value)} [${percent(ratio.low)}, ${percent(ratio.high)}]`] : [],
  );
  const text = `NLL of positions ${from}–${to - 1} (${(to / trainedLength).toFixed(1)} × the trained length): ${nlls.join(", ")}`;
  return over.length ? `${text}; over re-truncation, 95 % bootstrap: ${over.join(", ")}` : text;
}

function percent(ratio: number): string {
  return Number.isNaN(ratio) ? "NaN" : `${ratio >= 1 ? "+" : ""}${(100 * (ratio - 1)).toFixed(2)} %`;
}
