import { draw, type Random } from "../../src/base/random.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { logSumExp } from "../../src/engine/sampler.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** A text in which facts are hidden, and what is asked behind it. */
export interface Memory {
  readonly ids: readonly number[];
  readonly facts: readonly Fact[];
  readonly passages: readonly Passage[];
  /** What the text goes on with: NEXT tokens. */
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

const THINGS = ["safe", "gate", "cellar", "archive", "stable", "chapel"];
const PASSAGES = 5;
const PASSAGE = 112;
/** Tokens of a passage that are read before those whose NLL counts: which passage it is cannot be known before. */
const LEAD = 12;
/** Tokens behind the memory whose NLL is that of ordinary text. */
export const NEXT = 256;

/** The least tokens of a memory whose facts and passages all lie behind a window of so many tokens. */
export function leastLength(window: number): number {
  return window + 2 * (PASSAGE + 64) * (PASSAGES + 1);
}

/**
 * A memory of `length` tokens, which starts as the document does, its facts and passages spread over what lies before the
 * last `window` tokens. document: length + NEXT tokens of a text.
 */
export function memoryOf(
  document: readonly number[],
  tokenizer: Tokenizer,
  length: number,
  window: number,
  seed: number,
): Memory {
  const random: Random = { seed, counter: 0 };
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  const before = length - window;
  const ids: number[] = [];
  const facts: Fact[] = [];
  const passages: Passage[] = [];
  let read = 0;
  for (const [i, thing] of THINGS.entries()) {
    const number = 10_000 + Math.floor(draw(random) * 90_000);
    const begin = Math.floor(((i + 1 / 2) / THINGS.length) * (before - PASSAGE));
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
  return { ids, facts, passages, next: document.slice(read, read + NEXT) };
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
