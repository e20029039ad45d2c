import { draw, type Random } from "../../src/base/random.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { logSumExp } from "../../src/engine/sampler.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** A text in which facts are hidden, and what is asked behind it. */
export interface Memory {
  readonly ids: readonly number[];
  readonly facts: readonly Fact[];
  readonly passages: readonly Passage[];
  /** What the text goes on with. */
  readonly next: readonly number[];
}

/** A sentence with a number, and the question for it. */
export interface Fact {
  /** Tokens between the sentence's first and the end of the memory. */
  readonly distance: number;
  readonly question: readonly number[];
  readonly answer: readonly number[];
}

/** PASSAGE tokens of the text, which are read again. */
export interface Passage {
  readonly distance: number;
  readonly ids: readonly number[];
}

/** How large a memory is, and what is asked of it. */
export interface MemoryShape {
  /** Its tokens. */
  readonly length: number;
  /** Its last tokens, which have no facts and no passages. */
  readonly window: number;
  /** Facts that are hidden in it, from 2 to MOST_FACTS; one passage lies between any two of them. */
  readonly facts: number;
  /** Tokens behind it whose NLL is that of ordinary text. */
  readonly next: number;
  readonly seed: number;
}

// biome-ignore format: a list of words
const THINGS = [
  "safe", "gate", "cellar", "archive", "stable", "chapel", "mill", "well", "tower", "orchard", "bridge", "library",
  "kitchen", "pantry", "attic", "garden", "harbour", "barn", "forge", "school", "tavern", "bakery", "theatre", "prison",
];
/** Facts and tokens of ordinary text by default. */
export const FACTS = 6;
export const NEXT = 256;
export const MOST_FACTS = THINGS.length;
const PASSAGE = 112;
/** Tokens of a passage that are read before those whose NLL counts: which passage it is cannot be known before. */
const LEAD = 12;

/** The least tokens of a memory whose facts and passages all lie behind a window of so many tokens. */
export function leastLength(window: number, facts: number): number {
  return window + 2 * (PASSAGE + 64) * facts;
}

/**
 * A memory, which starts as the document does, its facts and passages spread over what lies before its window.
 * document: length + next tokens of a text.
 */
export function memoryOf(document: readonly number[], tokenizer: Tokenizer, shape: MemoryShape): Memory {
  const { length, window, seed } = shape;
  const random: Random = { seed, counter: 0 };
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  const before = length - window;
  const ids: number[] = [];
  const facts: Fact[] = [];
  const passages: Passage[] = [];
  let read = 0;
  for (const [i, thing] of THINGS.slice(0, shape.facts).entries()) {
    const number = 10_000 + Math.floor(draw(random) * 90_000);
    const begin = Math.floor(((i + 1 / 2) / shape.facts) * (before - PASSAGE));
    while (ids.length < begin) ids.push(document[read++] as number);
    // Half-way to the next fact, so that a passage is text alone.
    if (i > 0) {
      const last = length - (facts.at(-1) as Fact).distance;
      const from = Math.floor((last + begin) / 2);
      passages.push({ distance: length - from, ids: ids.slice(from, from + PASSAGE) });
    }
    const sentence = encode(` The number of the ${thing} is ${number}.`);
    const [question, whole] = ["", ` ${number}`].map((end) => encode(`\n\nThe number of the ${thing} is${end}`));
    facts.push({ distance: length - ids.length, question: question!, answer: whole!.slice(question!.length) });
    ids.push(...sentence);
  }
  while (ids.length < length) ids.push(document[read++] as number);
  return { ids, facts, passages, next: document.slice(read, read + shape.next) };
}

/** What a model made of a memory. */
export interface Recalled {
  /** Nats per token of each passage behind its first LEAD tokens. */
  readonly passages: readonly { readonly distance: number; readonly nll: number }[];
  /** Nats per token of each answer, the share of its tokens that are the most likely ones, and whether all are. */
  readonly facts: readonly FactFound[];
  /** Nats per token of what the text goes on with. */
  readonly next: number;
}

/** What a model made of a fact. */
export interface FactFound {
  readonly distance: number;
  readonly nll: number;
  readonly right: number;
  readonly exact: boolean;
}

/** Asks a session that has read a memory, each time in a fork. `recall` false: without looking back. */
export async function ask(
  engine: Engine,
  session: number,
  { facts, passages, next }: Memory,
  newline: readonly number[],
  recall: boolean,
  signal?: AbortSignal,
): Promise<Recalled> {
  const read = async (context: readonly number[], wanted: readonly number[]) => {
    const fork = engine.fork(session);
    try {
      return await answered(engine, fork, context, wanted, recall, signal);
    } finally {
      engine.dispose(fork);
    }
  };
  const found: { passages: Recalled["passages"][number][]; facts: FactFound[] } = { passages: [], facts: [] };
  for (const { distance, ids } of passages) {
    const { nll } = await read([...newline, ...ids.slice(0, LEAD)], ids.slice(LEAD));
    found.passages.push({ distance, nll });
  }
  for (const { distance, question, answer } of facts) {
    const { nll, right } = await read(question, answer);
    found.facts.push({ distance, nll, right: right / answer.length, exact: right === answer.length });
  }
  const text = await read(next.slice(0, 1), next.slice(1));
  return { ...found, next: text.nll };
}

/** Mean NLL of tokens behind a context, and how many of them are the most likely ones. */
async function answered(
  engine: Engine,
  session: number,
  context: readonly number[],
  wanted: readonly number[],
  recall: boolean,
  signal?: AbortSignal,
) {
  const all = [...context, ...wanted];
  let index = 0;
  let sum = 0;
  let right = 0;
  await engine.forward(
    session,
    all.slice(0, -1),
    (logits) => {
      const token = all[++index] as number;
      if (index < context.length) return;
      const logit = logits[token] as number;
      sum += logSumExp(logits) - logit;
      if (logits.every((other) => other <= logit)) right++;
    },
    signal,
    { recall },
  );
  return { nll: sum / wanted.length, right };
}
