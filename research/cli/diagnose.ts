import { basename } from "node:path";
import type { Command } from "commander";
import { ModelError, mismatch, OptionError } from "../../src/base/errors.ts";
import { whole } from "../../src/cli/options.ts";
import { Stages } from "../../src/cli/progress.ts";
import { write } from "../../src/cli/streams.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { headsOf, hiddenSize } from "../../src/models/program.ts";
import type { PlannedLayer } from "../../src/plan/plan.ts";
import { POLICIES, type Policy, type PolicyName } from "../../src/plan/policy.ts";
import type { LoadOptions } from "../../src/session/load.ts";
import { Curves, gridOf, meanCurves, readCurves } from "../eval/diagnose.ts";
import type { Document } from "../eval/document.ts";
import { alikeOf, findingsOf, followersOf } from "../eval/findings.ts";
import { HiddenStates, keptPositions, remoteness } from "../eval/hidden.ts";
import { type FoundKeys, measureKeys } from "../eval/keys.ts";
import { pca } from "../eval/pca.ts";
import {
  curveFiles,
  hiddenFiles,
  hiddenTable,
  keysLine,
  type LayerStates,
  type PolicyFindings,
  policyTable,
  verdictOf,
} from "./diagnose_report.ts";
import { type EvalFlags, evalOptions, names, wholes } from "./options.ts";
import { FloatFile, type Json, type Results, withResults } from "./results.ts";
import { readDocuments } from "./scoring.ts";
import { commandLine, type Subject, withSubject } from "./subject.ts";
import { textFiles } from "./texts.ts";

const NAME = "diagnose";
/** Rows of a step: what is noted of them is in memory at once. */
const CHUNK = 64;
/** First keys whose share is told where Λ has none. */
const SINKS = 10;
/** The layers of the paper's Appendix Fig 7. */
const LAYERS = [1, 2, 3, 5, 10, 20];

interface Flags extends EvalFlags {
  readonly policies: readonly PolicyName[];
  readonly length?: number;
  readonly documents: number;
  readonly pcaTokens?: number;
  readonly layers?: readonly number[];
}

export function addDiagnose(program: Command, signal: AbortSignal): void {
  evalOptions(program.command(NAME), NAME)
    .description(
      "why a model fails beyond its trained length P: logits, entropy, first tokens, attention sinks (Fig 1, 7)",
    )
    .option("--policies <list>", "policies to compare", names(POLICIES), ["full", "lambda"])
    .option("--length <n>", "tokens of each text, BOS included (default: 4 P)", whole(2))
    .option("--documents <n>", "most texts to read", whole(1), 4)
    .option("--pca-tokens <n>", "first tokens whose hidden states are compared (default: P)", whole(64))
    .option("--layers <list>", `hidden states after these layers (default: ${LAYERS}; 0: the embedding)`, wholes(0))
    .addHelpText(
      "after",
      "\nFig 1a (logits.*): the largest logit of a text's last query, over the keys up to each distance; the paper truncates\n" +
        "texts to 2 P. Fig 1b (entropy.*): the entropy of attention, with ln of the number of keys. Fig 1c and Appendix Fig 7\n" +
        "(hidden.*): hidden states under the first policy, along their two principal components. Sinks (sinks.*): the share\n" +
        "of attention that the first --n-global keys take. Then Λ is measured: which keys a far query meets, and whether its\n" +
        "logits in the first layer are those of the same tokens at the distances of Fig 2. Curves are means over texts, then\n" +
        "over heads, with the standard deviation of heads (n − 1); NaN and infinities propagate.",
    )
    .action((flags: Flags) => diagnose(flags, signal));
}

/** A command that is on its way. */
interface Run {
  readonly flags: Flags;
  readonly subject: Subject;
  readonly documents: readonly Document[];
  readonly length: number;
  readonly pcaTokens: number;
  /** Hidden states after these layers. */
  readonly layers: readonly number[];
  /** First keys whose share is noted. */
  readonly sinks: number;
  readonly results: Results;
  readonly stages: Stages;
  readonly signal: AbortSignal;
}

async function diagnose(flags: Flags, signal: AbortSignal): Promise<void> {
  const stages = new Stages();
  const files = (await textFiles(flags.text)).slice(0, flags.documents);
  await withSubject(flags, signal, stages, async (subject) => {
    const { trainedLength } = subject;
    const length = flags.length ?? 4 * trainedLength;
    const pcaTokens = Math.min(flags.pcaTokens ?? trainedLength, length);
    const layers = layersOf(flags, subject.layers);
    const { policy: lambda, layers: lambdaLayers } = subject.plan({ attention: "lambda" }).plan;
    const sinks = lambda.nGlobal || SINKS;
    const plans = flags.policies.map((attention) => subject.plan({ attention, maxPositions: length }).plan);
    const policies = plans.map(({ policy }) => policy);
    const parameters = {
      ...{ model: subject.name, length, bos: subject.bos ?? null },
      files: files.map(({ path, size }) => ({ path, bytes: size })),
      ...{ policies, pcaTokens, layers, nGlobal: lambda.nGlobal, nLocal: lambda.nLocal, limit: lambda.limit },
      ...{ dtype: flags.dtype ?? "auto", cacheDtype: flags.cacheDtype ?? "f32" },
    } as unknown as Json & object;
    await withResults(flags, NAME, parameters, signal, async (results) => {
      const documents = await readDocuments(files, subject, length, stages, signal);
      const run: Run = { flags, subject, documents, length, pcaTokens, layers, sinks, results, stages, signal };
      await write(`${subject.name}: ${documents.length} texts of ${length} tokens, trained length ${trainedLength}\n`);
      const findings: PolicyFindings[] = [];
      for (const { policy, layers } of plans) {
        const curves = await curvesOf(run, policy.attention);
        const layerPolicies = layers.map((layer) => layer.policy);
        const followers = followersOf(policy, layerPolicies);
        const following = followers.map((layer) => layerPolicies[layer] as Policy);
        const alike = alikeOf(following, curves.grid, sinks, trainedLength);
        const layerFindings = findingsOf(curves, trainedLength, followers);
        const found = { policy, layerPolicies, followers, curves, layers: layerFindings, alike };
        findings.push(found);
        await write(policyTable(found, trainedLength, sinks));
      }
      const states: LayerStates[] = [];
      for (const layer of layers) states.push(await statesOf(run, layer));
      await write(hiddenTable(states));
      const keys = await keysOfSubject(run);
      await write(keysLine(keys, (lambdaLayers[0] as PlannedLayer).policy));
      await report(run, parameters, findings, states, keys);
    });
  });
}

/** Those asked for, or of the paper's as many as the model has. */
function layersOf(flags: Flags, count: number): readonly number[] {
  const strange = flags.layers?.find((layer) => layer > count);
  if (strange !== undefined) throw new OptionError(mismatch("--layers", `layers from 0 to ${count}`, strange));
  return flags.layers ?? LAYERS.filter((layer) => layer <= count);
}

/** What the texts have in common under a policy; every text is a unit of work. The first policy's hidden states are kept. */
async function curvesOf(run: Run, attention: PolicyName): Promise<Curves> {
  const { flags, subject, documents, length, layers, pcaTokens, results, stages, signal } = run;
  const grid = gridOf(length);
  const { program } = subject.plan({ attention, maxPositions: length });
  const hidden = attention === flags.policies[0] ? layers : undefined;
  const dim = hiddenSize(program);
  const all: Curves[] = [];
  let engine: Engine | undefined;
  for (const [i, document] of documents.entries()) {
    const unit = `${attention} ${document.name}`;
    const file = new FloatFile(results, unit);
    if (results.get(unit) === undefined) {
      engine ??= await subject.engine(engineOptions(run, attention, hidden));
      const states = new HiddenStates(hidden ?? [], keptPositions(hidden ? pcaTokens : 0), dim);
      const onStep: Parameters<typeof readCurves>[3] = (step) => {
        states.take(step);
        stages.update(`${attention} attention`, i * length + step.position + step.rows, documents.length * length);
      };
      const curves = await readCurves(engine, document.ids, grid, onStep, signal);
      for (const values of [curves.values, ...states.values]) await file.append(values);
      await file.close();
      await results.keep(unit, { numbers: curves.values.length });
    }
    const size = (results.get(unit) as { numbers: number }).numbers;
    all.push(new Curves(program.layers.length, headsOf(program, 0), grid, await file.read(0, size)));
  }
  stages.end();
  return meanCurves(all);
}

function engineOptions({ length, sinks }: Run, attention: PolicyName, hidden?: readonly number[]): LoadOptions {
  const observe = { attention: { span: length, sinks }, ...(hidden && { hidden }) };
  return { attention, maxPositions: length, chunkSize: CHUNK, maxSessions: 1, observe };
}

/** The hidden states after a layer, as curvesOf kept them behind the curves. */
async function statesOf(
  { flags, subject, documents, pcaTokens, layers, results }: Run,
  layer: number,
): Promise<LayerStates> {
  const dim = hiddenSize(subject.plan({}).program);
  const positions = keptPositions(pcaTokens);
  const parts: Float32Array[] = [];
  for (const { name } of documents) {
    const unit = `${flags.policies[0]} ${name}`;
    const begin = (results.get(unit) as { numbers: number }).numbers + layers.indexOf(layer) * positions.length * dim;
    parts.push(await new FloatFile(results, unit).read(begin, begin + positions.length * dim));
  }
  if (!parts.every((part) => part.every(Number.isFinite))) {
    throw new ModelError(mismatch(`hidden states after layer ${layer}`, "finite numbers", "others"));
  }
  const rows = { texts: documents.length, positions: documents.flatMap(() => positions) };
  return { layer, ...rows, pca: pca(parts, dim), remoteness: remoteness(parts, positions, dim) };
}

async function keysOfSubject({ subject, documents, results, signal }: Run): Promise<FoundKeys> {
  const kept = results.get("keys");
  if (kept !== undefined) return kept as unknown as FoundKeys;
  const { policy, layers } = subject.plan({ attention: "lambda" }).plan;
  const first = (layers[0] as PlannedLayer).policy;
  const load = (options: LoadOptions) => subject.engine({ ...options, chunkSize: CHUNK, maxSessions: 1 });
  const keys = await measureKeys(load, (documents[0] as Document).ids, policy, first, signal);
  await results.keep("keys", { ...keys });
  return keys;
}

async function report(
  run: Run,
  parameters: Json & object,
  findings: readonly PolicyFindings[],
  states: readonly LayerStates[],
  keys: FoundKeys,
): Promise<void> {
  const { flags, subject, results, sinks } = run;
  const command = commandLine();
  const verdict = verdictOf(findings, states, keys, sinks);
  const { trainedLength } = subject;
  const whole = {
    ...{ ...subject.facts, trainedLength, parameters, verdict, keys },
    policies: findings.map(({ policy, curves, layers, alike }) => {
      return { ...policy, notFinite: curves.notFinite, alike, layers };
    }),
    hidden: states.map(({ layer, pca: { explained }, remoteness }) => ({ layer, explained, ...remoteness })),
  };
  const model = basename(subject.name);
  const files = {
    ...{ [`${NAME}.json`]: `${JSON.stringify(whole, null, 1)}\n` },
    ...(await curveFiles(findings, sinks, model, { command, trainedLength })),
    ...(await hiddenFiles(states, model, flags.policies[0] as string, command)),
  };
  for (const [file, content] of Object.entries(files)) await results.write(file, content);
  await write(`\n${verdict}\n`);
}
