import { basename } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { mismatch, OptionError } from "../../src/base/errors.ts";
import { describeRecall, whole } from "../../src/cli/options.ts";
import { Stages } from "../../src/cli/progress.ts";
import { write } from "../../src/cli/streams.ts";
import type { Policy } from "../../src/plan/policy.ts";
import type { LoadOptions } from "../../src/session/load.ts";
import {
  ask,
  FACTS,
  leastLength,
  type Memory,
  type MemoryShape,
  MOST_FACTS,
  memoryOf,
  NEXT,
  type Recalled,
} from "../eval/recall.ts";
import { type EvalFlags, evalOptions } from "./options.ts";
import { svg } from "./plot.ts";
import { KEPT, Readings } from "./readings.ts";
import { chartOf, type Found, rowsOf, shown, verdictOf } from "./recall_report.ts";
import { csv, type Json, type Results, withResults } from "./results.ts";
import { readDocuments } from "./scoring.ts";
import { commandLine, type Subject, withSubject } from "./subject.ts";
import { table } from "./table.ts";
import { textFiles } from "./texts.ts";

const NAME = "recall";
/** Of the paper's middle tokens: the best ones of each head. */
export const DEFAULT_RECALL = 4;

interface RecallFlags extends EvalFlags {
  readonly length?: number;
  readonly facts: number;
  readonly next: number;
  readonly gates?: readonly (number | undefined)[];
  readonly exact?: boolean;
  readonly full?: boolean;
}

/** A way of reading a memory, or of looking into one that was read. */
interface Way {
  readonly name: string;
  readonly options: LoadOptions;
  readonly policy: Policy;
  /** false: what was read is not looked at. */
  readonly recall: boolean;
}

export function addRecall(evaluation: Command, signal: AbortSignal): void {
  evalOptions(evaluation.command(NAME), NAME)
    .description("what is found of a text beyond the window, and what looking for it costs ordinary text")
    .option("--length <n>", "tokens of the text that is read first (default: 8 times n-local)", whole(1))
    .option("--facts <n>", `sentences that are hidden in each text, at most ${MOST_FACTS}`, whole(2, MOST_FACTS), FACTS)
    .option("--next <n>", "tokens behind each text that are ordinary text", whole(2), NEXT)
    .option("--gates <list>", "gates to compare, such as none,-2,0 (default: that of --recall-gate)", gates)
    .option("--exact", "also with all blocks looked into: the exact best of all middle tokens")
    .option("--full", "also under full attention, as far as memory has room for it")
    .addHelpText(
      "after",
      `
Sentences with a number each are hidden in each text, before its last n-local tokens. It is read once by plain
Λ-attention, then asked, always behind its end: for the numbers (right if every token of them is the most likely one), for
passages of 112 tokens between the sentences, whose first 12 are given (NLL of the others), and for the text's next tokens,
which need nothing from far away: their NLL tells whether recall harms. Recall is set by --recall (default: ${DEFAULT_RECALL}) and its other options, for all queries, beside Λ-attention.
With --recall-store what was read stays in that folder: a run with other gates, blocks or distances asks it again, and
one that was interrupted reads at most ${KEPT} tokens again.`,
    )
    .action((flags: RecallFlags) => recall(flags, signal));
}

async function recall(given: RecallFlags, signal: AbortSignal): Promise<void> {
  const stages = new Stages();
  const flags = { ...given, recall: given.recall ?? DEFAULT_RECALL };
  const files = await textFiles(flags.text);
  await withSubject(flags, signal, stages, async (subject) => {
    const plain = subject.plan({ attention: "lambda", recall: 0 }).plan.policy;
    const window = plain.nLocal;
    const shape = shapeOf(flags, window);
    const ways = waysOf(flags, subject, shape);
    const parameters = {
      ...{ model: subject.name, ...shape },
      ...{ dtype: flags.dtype ?? "auto", cacheDtype: flags.cacheDtype ?? "f32" },
      files: files.map(({ path, size }) => ({ path, bytes: size })),
      policies: Object.fromEntries(ways.map(({ name, policy }) => [name, { ...policy }])) as unknown as Json,
    };
    await withResults(flags, NAME, parameters, signal, async (results) => {
      const documents = await readDocuments(files, subject, shape.length + shape.next, stages, signal);
      const found: Found[] = [];
      for (const { name, ids } of documents) {
        // The same whatever other texts there are.
        const memory = memoryOf(ids, subject.tokenizer, shape);
        const asked = new Asked(subject, memory, results, stages, signal);
        for (const way of ways) found.push({ way: way.name, document: name, ...(await asked.under(way, name)) });
        stages.end();
        // One alone is in the table of all.
        if (documents.length === 1) continue;
        await write(`${basename(name)}\n${table(shown(rowsOf(found.filter(({ document }) => document === name))))}`);
      }
      const rows = rowsOf(found);
      const verdict = verdictOf(rows);
      await results.write(
        `${NAME}.json`,
        `${JSON.stringify({ ...subject.facts, parameters, rows, found, verdict }, null, 1)}\n`,
      );
      await results.write(`${NAME}.csv`, csv(rows));
      await results.write(`${NAME}.svg`, await svg(chartOf(rows, basename(subject.name), commandLine())));
      const texts = documents.length === 1 ? basename(documents[0]?.name ?? "") : `all ${documents.length} texts`;
      const looks = describeRecall(ways[0]?.policy as Policy);
      await write(`${texts}, ${shape.length} tokens; recall ${looks}\n${table(shown(rows))}${verdict}\n`);
    });
  });
}

/** The memory that flags ask for. Throws OptionError for one that is too short, and for flags that recall nothing. */
export function shapeOf(
  { length, recall, facts, next, seed }: Pick<RecallFlags, "length" | "recall" | "facts" | "next" | "seed">,
  window: number,
): MemoryShape {
  const least = leastLength(window, facts);
  const chosen = length ?? Math.max(8 * window, least);
  if (chosen < least) {
    throw new OptionError(mismatch("length", `at least ${least}, for n-local ${window} and ${facts} facts`, chosen));
  }
  if (recall === 0) throw new OptionError(mismatch("recall", "1 or more tokens", 0));
  return { length: chosen, window, facts, next, seed };
}

function waysOf(flags: RecallFlags, subject: Subject, { length, next }: MemoryShape): Way[] {
  const way = (name: string, options: LoadOptions, recall = true): Way => {
    const all = { attention: "lambda", maxSessions: 2, ...options } as const;
    return { name, options: all, policy: subject.plan(all).plan.policy, recall };
  };
  const looks = {
    recall: flags.recall,
    recallTokens: flags.recallTokens ?? length,
    recallStore: flags.recallStore,
    recallQueries: "all",
  } as const;
  const maxPositions = length + next + 1;
  // That of --recall-gate, or of the model's recall.json.
  const { recallGate: usual } = way("", looks).policy;
  return [
    way("Λ", looks, false),
    ...(flags.gates ?? [usual === -Infinity ? undefined : usual]).map((recallGate) =>
      way(`gate ${recallGate ?? "none"}`, { ...looks, recallGate }),
    ),
    ...(flags.exact ? [way("exact", { ...looks, recallBlocks: "all" })] : []),
    ...(flags.full ? [way("full", { attention: "full", recall: 0, recallStore: undefined, maxPositions })] : []),
  ];
}

/** One memory under one way after the other. */
export class Asked {
  readonly #subject: Subject;
  readonly #memory: Memory;
  readonly #readings: Readings;
  readonly #results: Results | undefined;
  readonly #signal: AbortSignal;

  /** `results`: a journal of what was found; undefined: none. */
  constructor(subject: Subject, memory: Memory, results: Results | undefined, stages: Stages, signal: AbortSignal) {
    this.#subject = subject;
    this.#memory = memory;
    this.#readings = new Readings(memory.ids, stages, signal);
    this.#results = results;
    this.#signal = signal;
  }

  /** What was found; from the journal if it is there. */
  async under(way: Way, document: string): Promise<Recalled> {
    const unit = JSON.stringify([this.#subject.name, way.name, document]);
    const done = this.#results?.get(unit) as Recalled | undefined;
    if (done) return done;
    const found = await this.asks(way);
    await this.#results?.keep(unit, found as unknown as Json);
    return found;
  }

  /** What is found now. */
  async asks({ name, options, recall }: Omit<Way, "policy">): Promise<Recalled> {
    const engine = await this.#subject.engine(options);
    const newline = this.#subject.tokenizer.encode("\n\n", { addSpecialTokens: false });
    const session = await this.#readings.session(engine, name, options.recallStore as string | undefined);
    try {
      return await ask(engine, session, this.#memory, newline, recall, this.#signal);
    } finally {
      engine.dispose(session);
    }
  }
}

/** Powers of two separated by commas, and none. */
function gates(text: string): (number | undefined)[] {
  const all = text.split(",").map((part) => (part.trim() === "none" ? undefined : Number(part.trim() || Number.NaN)));
  if (all.every((gate, i) => (gate === undefined || Number.isFinite(gate)) && all.indexOf(gate) === i)) return all;
  throw new InvalidArgumentError(`expected different numbers, or none, separated by commas, found ${text}`);
}
