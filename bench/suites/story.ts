import type { Engine } from "../../src/engine/engine.ts";
import { GREEDY, logSumExp } from "../../src/engine/sampler.ts";
import type { PolicyName } from "../../src/plan/policy.ts";
import { loadEngine, withCheckpoint } from "../../src/session/load.ts";
import { requireTokenizer } from "../../src/session/load_tokenizer.ts";

/**
 * Does a text stay readable far beyond the trained length? For every seed and policy: a story of 4,096 tokens, which the
 * model itself then scores in windows of its trained length (stride half of it, full attention: nothing in a window is
 * new to the model). The last 512 tokens are compared with tokens 256 to 768, by mean NLL and by distinct 4-grams.
 */
const TOKENS = 4096;
const WINDOW = 512;
const SPAN = 512;
const PROMPT = "It was late in the evening when the old captain came home.";
const SAMPLING = { ...GREEDY, doSample: true, temperature: 0.8, topK: 50, topP: 0.95 };

interface Scores {
  readonly early: Span;
  readonly late: Span;
}

interface Span {
  /** nats per token */
  readonly nll: number;
  /** share of 4-grams that occur for the first time */
  readonly distinct: number;
}

export interface StoryOptions {
  readonly model: string;
  readonly seeds: number;
  readonly policies: readonly PolicyName[];
}

export async function story({ model, seeds, policies }: StoryOptions): Promise<void> {
  await withCheckpoint(model, {}, async (checkpoint, runtime) => {
    const prompt = (await requireTokenizer(checkpoint)).encode(PROMPT);
    const scorer = await loadEngine(checkpoint, runtime, { attention: "full", maxPositions: WINDOW });
    console.log(`${model}, ${runtime.name}: ${TOKENS} tokens, ${seeds} seeds, temperature 0.8, top-p 0.95`);
    console.log("policy        seed   NLL 256-768   last 512   distinct 4-grams 256-768   last 512");
    for (const attention of policies) {
      const maxPositions = prompt.length + TOKENS;
      const engine = await loadEngine(checkpoint, runtime, { attention, maxPositions });
      const all: Scores[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        const ids = await write(engine, prompt, seed);
        const scores = await score(scorer, prompt, ids);
        all.push(scores);
        print(attention, `${seed}`, scores);
      }
      const mean = (pick: (scores: Scores) => number) =>
        all.reduce((sum, scores) => sum + pick(scores), 0) / all.length;
      const early = { nll: mean(({ early }) => early.nll), distinct: mean(({ early }) => early.distinct) };
      const late = { nll: mean(({ late }) => late.nll), distinct: mean(({ late }) => late.distinct) };
      print(attention, "mean", { early, late });
      console.log(
        `${attention}: NLL ${percent(late.nll / early.nll)} of that of tokens 256-768, distinct 4-grams ${percent(late.distinct / early.distinct)}`,
      );
    }
  });
}

async function write(engine: Engine, prompt: readonly number[], seed: number): Promise<number[]> {
  const session = engine.open(0, seed);
  await engine.append(session, prompt);
  const ids: number[] = [];
  while (ids.length < TOKENS) ids.push((await engine.next(session, SAMPLING)).id);
  engine.dispose(session);
  return ids;
}

async function score(scorer: Engine, prompt: readonly number[], ids: readonly number[]): Promise<Scores> {
  const text = [...prompt, ...ids];
  const nll = new Float64Array(text.length);
  for (let begin = 0; begin + WINDOW / 2 < text.length; begin += WINDOW / 2) {
    const window = text.slice(begin, begin + WINDOW);
    const session = scorer.open(0, 0);
    await scorer.forward(session, window, (logits, position) => {
      const next = begin + position + 1;
      // The first half of a window has been scored by the one before, with more context.
      if (next >= text.length || (begin > 0 && position + 1 < WINDOW / 2)) return;
      if (position + 1 < WINDOW) nll[next] = logSumExp(logits) - (logits[text[next] as number] as number);
    });
    scorer.dispose(session);
  }
  const span = (from: number): Span => {
    const at = prompt.length + from;
    const values = nll.subarray(at, at + SPAN);
    const grams = Array.from({ length: SPAN - 3 }, (_, i) => ids.slice(from + i, from + i + 4).join());
    return { nll: values.reduce((sum, value) => sum + value, 0) / SPAN, distinct: new Set(grams).size / grams.length };
  };
  return { early: span(256), late: span(TOKENS - SPAN) };
}

function print(policy: string, seed: string, { early, late }: Scores): void {
  const number = (value: number, width: number) => value.toFixed(3).padStart(width);
  console.log(
    `${policy.padEnd(13)} ${seed.padStart(4)} ${number(early.nll, 13)} ${number(late.nll, 10)} ${number(early.distinct, 26)} ${number(late.distinct, 10)}`,
  );
}

function percent(ratio: number): string {
  return `${(100 * ratio).toFixed(1)} %`;
}
