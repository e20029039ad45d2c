import { existsSync } from "node:fs";
import type { Command } from "commander";
import { LambentError, mismatch, OptionError } from "../../src/base/errors.ts";
import { checkWritable, writeWhole } from "../../src/cli/files.ts";
import { type ModelFlags, modelOptions, whole } from "../../src/cli/options.ts";
import { Stages } from "../../src/cli/progress.ts";
import { warn, write } from "../../src/cli/streams.ts";
import { RECALL_FILE, recallFileOf } from "../../src/formats/checkpoint.ts";
import { headsOf } from "../../src/models/program.ts";
import type { LayerHead } from "../../src/plan/middle.ts";
import { type Calibration, calibrate, ENOUGH, type Measured, type Setting } from "../eval/calibrate.ts";
import { FACTS, type Memory, memoryOf, NEXT } from "../eval/recall.ts";
import { Asked, DEFAULT_RECALL, shapeOf } from "./recall.ts";
import { mean } from "./recall_report.ts";
import { readDocuments } from "./scoring.ts";
import { type Subject, withSubject } from "./subject.ts";
import { table } from "./table.ts";
import { textFiles } from "./texts.ts";

/** Powers of two, from the loosest on. */
const GATES = [-2, -1, 0, 0.5, 1, 1.5, 2, 3];

interface CalibrateFlags extends ModelFlags {
  readonly text: readonly string[];
  readonly length?: number;
  readonly seed: number;
  readonly out?: string;
}

/** Adds the command `calibrate`; `signal` aborts it. */
export function addCalibrate(program: Command, signal: AbortSignal): void {
  modelOptions(program.command("calibrate"))
    .description("find how a model looks back beyond its window: heads, distance and gate of recall")
    .requiredOption("--text <files...>", "texts that the model was not trained on, several if possible")
    .option(
      "--length <n>",
      "tokens of each text that are read (default: 8 times n-local, or as many as it takes)",
      whole(1),
    )
    .option("--seed <n>", "seed of the hidden sentences", whole(0), 1)
    .option(
      "--out <file>",
      `where the result is written (default: ${RECALL_FILE} in the model's folder, or ${recallFileOf("NAME.gguf")} beside the file)`,
    )
    .addHelpText(
      "after",
      `
Each text is read once, then asked for five passages of it and for what it goes on with, as in \`eval recall\`, in each
trial. Layers that passages do not need are left out, and heads of the others, as long as passages lose at most ${ENOUGH} nats
per token; half of the limit is the distance unless the whole or a quarter gains as much; the gate is the loosest that
costs ordinary text at most 0.5 % of its NLL, and heads get a looser one of their own as far as that stays so. A model
that has this file looks back so whenever recall is asked for, unless options say otherwise.`,
    )
    .action((flags: CalibrateFlags) => run(flags, signal));
}

/** What calibrate finds, or sets by itself. */
const SET_HERE = ["recallLayers", "recallHeads", "recallDistance", "recallGate", "recallTokens"] as const;

async function run({ recall = DEFAULT_RECALL, ...flags }: CalibrateFlags, signal: AbortSignal): Promise<void> {
  const stages = new Stages();
  for (const name of SET_HERE) {
    if (flags[name] !== undefined)
      throw new OptionError(mismatch(name, "nothing, as it is found or set here", flags[name]));
  }
  if (flags.attention !== undefined && flags.attention !== "lambda")
    throw new OptionError(mismatch("attention", "lambda, which recall is for", flags.attention));
  const files = await textFiles(flags.text);
  // Without recall: what an earlier calibration has found does not matter.
  await withSubject(flags, signal, stages, async (subject) => {
    // Only of a model of this machine.
    const out = flags.out ?? (existsSync(subject.place) ? recallFileOf(subject.place) : undefined);
    if (out !== undefined) await checkWritable(out);
    const all = { recall, recallLayers: Array.from({ length: subject.layers }, (_, i) => i) };
    const { plan, program } = subject.plan({ attention: "lambda", ...all });
    const { nLocal: window, limit } = plan.policy;
    const recallLayers = plan.layers.flatMap(({ cache }, layer) => (cache.middle ? [layer] : []));
    const heads = recallLayers.flatMap((layer) =>
      Array.from({ length: headsOf(program, layer) }, (_, head): LayerHead => [layer, head]),
    );
    const shape = shapeOf({ ...flags, recall, facts: FACTS, next: NEXT }, window);
    const documents = await readDocuments(files, subject, shape.length + NEXT, stages, signal);
    const memories = documents.map(({ ids }) => memoryOf(ids, subject.tokenizer, shape));
    const looks = { recall, recallLayers, recallTokens: shape.length, recallQueries: "all" } as const;
    const trials = new Trials(subject, memories, stages, signal);
    const plain = await trials.measure("Λ", looks, false);
    const distances = [...new Set([limit / 2, limit, limit / 4].map((tokens) => Math.max(1, Math.floor(tokens))))];
    const measure = ({ heads, distance, gate }: Setting) => {
      const name = `heads ${brief(heads)}, distance ${distance}, gate ${gate ?? "none"}`;
      return trials.measure(name, { ...looks, recallHeads: heads, recallDistance: distance, recallGate: gate });
    };
    const found = await calibrate({ heads, distances, gates: GATES }, plain, measure);
    stages.end();
    await write(`${table(trials.rows)}`);
    if (!found) throw new LambentError(`${subject.name}: expected passages that recall finds, found none by any heads`);
    await tell(found, plain, out);
  });
}

/** Settings, each measured over all texts. */
class Trials {
  readonly #asked: readonly Asked[];
  readonly #found: { readonly name: string; readonly measured: Measured }[] = [];

  constructor(subject: Subject, memories: readonly Memory[], stages: Stages, signal: AbortSignal) {
    this.#asked = memories.map((memory) => new Asked(subject, memory, undefined, stages, signal));
  }

  /** `recall` false: without looking back. */
  async measure(name: string, more: object, recall = true): Promise<Measured> {
    // A setting may be tried again on the way to another.
    const known = this.#found.find((other) => other.name === name);
    if (known) return known.measured;
    const options = { attention: "lambda", maxSessions: 2, ...more } as const;
    const passages: number[] = [];
    const texts: number[] = [];
    for (const asked of this.#asked) {
      const found = await asked.asks({ name, options, recall });
      passages.push(...found.passages.map(({ nll }) => nll));
      texts.push(found.next);
    }
    const measured = { passages: mean(passages), text: mean(texts) };
    this.#found.push({ name, measured });
    return measured;
  }

  /** As a table has them; the first one is what the others are compared with. */
  get rows(): Record<string, string | number>[] {
    const plain = this.#found[0]?.measured.text as number;
    return this.#found.map(({ name, measured: { passages, text } }) => {
      const over = `${(100 * (text / plain - 1)).toFixed(2)} %`;
      return { trial: name, "passages' NLL": passages, text, "text over Λ": over };
    });
  }
}

/** Heads as ranges of each layer, such as 5:0-3 11:2, with gates of their own. */
function brief(heads: readonly LayerHead[]): string {
  const ranges: { layer: number; first: number; last: number; gate: number | undefined }[] = [];
  for (const [layer, head, gate] of heads) {
    const range = ranges.at(-1);
    if (range?.layer === layer && range.last === head - 1 && range.gate === gate) range.last = head;
    else ranges.push({ layer, first: head, last: head, gate });
  }
  return ranges
    .map(({ layer, first, last, gate }) => {
      return `${layer}:${first}${last > first ? `-${last}` : ""}${gate === undefined ? "" : ` (gate ${gate})`}`;
    })
    .join(" ");
}

async function tell({ setting, measured, harmless }: Calibration, plain: Measured, out: string | undefined) {
  const { heads, distance, gate } = setting;
  const flags = `--recall-heads ${heads.map((head) => head.join(":"))} --recall-distance ${distance}${gate === undefined ? "" : ` --recall-gate ${gate}`}`;
  const nats = (value: number) => value.toFixed(3);
  await write(`
passages ${nats(measured.passages)} nats per token instead of ${nats(plain.passages)}, ordinary text ${nats(measured.text)} instead of ${nats(plain.text)}
${flags}
`);
  if (!harmless) warn("no gate leaves ordinary text unharmed here: recall is for questions, not for reading on");
  if (out === undefined) return;
  const content = {
    recallHeads: heads,
    recallDistance: distance,
    ...(gate === undefined ? {} : { recallGate: gate }),
  };
  await writeWhole(out, new TextEncoder().encode(`${JSON.stringify(content)}\n`));
  warn(`written to ${out}`, "");
}
