import type { Stages } from "../../src/cli/progress.ts";
import { write } from "../../src/cli/streams.ts";
import type { Engine } from "../../src/engine/engine.ts";
import type { Policy, PolicyOptions } from "../../src/plan/policy.ts";
import { type Document, documentOf } from "../eval/document.ts";
import {
  type BandSums,
  Bands,
  between,
  type Retruncation,
  type Span,
  scoreDocument,
  scoreRetruncated,
  tailOf,
} from "../eval/nll.ts";
import { bootstrapRatio, type Interval } from "../eval/statistics.ts";
import type { EvalFlags } from "./options.ts";
import { FloatFile, type Json, type Results } from "./results.ts";
import type { Subject } from "./subject.ts";
import type { TextFile } from "./texts.ts";

/** A way to read that is compared with others. */
export interface Variant {
  readonly name: string;
  readonly options: PolicyOptions;
  /** Re-read after every stride, under full attention. */
  readonly retruncation?: Retruncation | undefined;
}

/**
 * Options for a variant's engine on documents of `length` tokens. Policies that forget nothing have no middle tokens.
 */
function optionsOf({ options, retruncation }: Variant, length: number): PolicyOptions {
  if (retruncation) return { attention: "full", maxPositions: retruncation.window, recall: 0 };
  const keepsAll = options.attention === "full" || options.attention === "ceiling-only";
  return { maxPositions: length, ...options, ...(keepsAll ? { recall: 0 } : {}) };
}

/** A variant's policy on documents of `length` tokens. Throws OptionError for what the model does not support. */
function policyOf(subject: Subject, variant: Variant, length: number): Policy {
  return subject.plan(optionsOf(variant, length)).plan.policy;
}

/** What scores depend on; unsupported variants are refused here, before anything is computed. */
export function scoringParameters(
  flags: EvalFlags,
  subject: Subject,
  files: readonly TextFile[],
  variants: readonly Variant[],
  length: number,
) {
  const policies = variants.map((variant) => [variant.name, policyOf(subject, variant, length)]);
  return {
    ...{ model: subject.name, length, bos: subject.bos ?? null },
    files: files.map(({ path, size }) => ({ path, bytes: size })),
    variants: variants as unknown as Json,
    policies: Object.fromEntries(policies) as Json,
    ...{ revision: flags.revision, dtype: flags.dtype ?? "auto", cacheDtype: flags.cacheDtype ?? "f32" },
  };
}

/** The scores of a variant. */
export interface Scored {
  readonly variant: Variant;
  readonly policy: Policy;
  readonly documents: readonly BandSums[];
  /** For each document: the NLL of the tokens of its spans, f32. */
  readonly files: readonly FloatFile[];
}

/** The documents of the files, `length` tokens of each. */
export async function readDocuments(
  files: readonly TextFile[],
  { tokenizer, bos }: Subject,
  length: number,
  stages: Stages,
  signal: AbortSignal,
): Promise<Document[]> {
  const documents: Document[] = [];
  for (const { path, read } of files) {
    signal.throwIfAborted();
    documents.push(await documentOf(path, read, tokenizer, bos, length));
    stages.update("reading the texts", documents.length, files.length);
  }
  stages.end();
  return documents;
}

/**
 * The NLL of every document's tokens in the spans, under every variant. A document under a variant is a unit of work, which is not computed again after an interruption. Prints a line for each variant.
 */
export async function scoreAll(
  subject: Subject,
  documents: readonly Document[],
  variants: readonly Variant[],
  edges: readonly number[],
  spans: readonly Span[],
  results: Results,
  stages: Stages,
  signal: AbortSignal,
): Promise<Scored[]> {
  const all: Scored[] = [];
  const length = documents[0]?.ids.length ?? 0;
  const from = spans[0]?.from as number;
  let done = 0;
  for (const variant of variants) {
    const { retruncation } = variant;
    // A variant whose documents are all in the journal is not loaded.
    let engine: Engine | undefined;
    const found: BandSums[] = [];
    const files: FloatFile[] = [];
    for (const { name, ids } of documents) {
      const unit = JSON.stringify([subject.name, variant.name, name]);
      const file = new FloatFile(results, unit);
      files.push(file);
      const kept = results.get(unit) as BandSums | undefined;
      if (kept) {
        found.push(kept);
        done += length;
        continue;
      }
      const bands = new Bands(edges, spans);
      let read = 0;
      const onNll = async (nll: Float32Array) => {
        bands.add(nll);
        read += nll.length;
        stages.update(`scoring under ${variant.name}`, done + read, variants.length * documents.length * length);
        await file.append(nll);
      };
      engine ??= await subject.engine({ ...optionsOf(variant, length), observe: { nll: true } });
      try {
        if (retruncation) await scoreRetruncated(engine, ids, subject.bos, retruncation, from, onNll, signal);
        else await scoreDocument(engine, ids, spans, onNll, signal);
      } finally {
        await file.close();
      }
      const unitFound = { counts: bands.counts, sums: bands.sums, nans: bands.nans };
      await results.keep(unit, unitFound);
      found.push(unitFound);
      done += length;
    }
    stages.end();
    const scored = { variant, policy: policyOf(subject, variant, length), documents: found, files };
    all.push(scored);
    const tail = between(found, edges, tailOf(from, length), length).mean;
    await write(
      `${variant.name.padEnd(13)} NLL of the last ${length - tailOf(from, length)} tokens ${tail.toFixed(3)}\n`,
    );
  }
  return all;
}

/** The NLL of one variant relative to another between two positions, with a bootstrap interval over documents. */
export function ratioOf(
  one: Scored,
  base: Scored,
  edges: readonly number[],
  from: number,
  to: number,
  seed: number,
): Interval {
  const sums = ({ documents }: Scored) => documents.map((document) => between([document], edges, from, to).mean);
  return bootstrapRatio(sums(one), sums(base), { seed });
}
