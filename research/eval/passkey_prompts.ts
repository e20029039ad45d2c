import { ModelError, mismatch, OptionError } from "../../src/base/errors.ts";
import { draw, type Random } from "../../src/base/random.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** The paper's wording. see: create_passkey_data.py of Glaciohound/LM-Infinite */
const PREFIX =
  "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. I will quiz you about the important information there.";
const FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
const QUESTION = "What is the pass key? The pass key is";
const hidden = (key: number) => `The pass key is ${key}. Remember it. ${key} is the pass key.`;

/** The grid: every length with every depth. */
export interface Grid {
  /** Tokens of a prompt, BOS included. */
  readonly lengths: readonly number[];
  /** Where the key is hidden: 0 before all filler, 1 after it. */
  readonly depths: readonly number[];
  /** Prompts per length and depth, each with a key of its own. */
  readonly trials: number;
  /** Keys are drawn uniformly from keyMin to keyMax. */
  readonly keyMin: number;
  readonly keyMax: number;
}

export interface Cell {
  readonly length: number;
  readonly depth: number;
  /** The hidden key, and another of as many digits for comparison. */
  readonly keys: readonly { readonly key: number; readonly other: number }[];
}

/** A prompt as the model reads it, and the expected answer. */
export interface Prompt {
  readonly ids: readonly number[];
  /** Tokens before the sentence with the key, which are shared by all prompts. */
  readonly shared: number;
  readonly key: number;
  /** Tokens of the key and of the other key, as they continue `ids`. */
  readonly answer: readonly number[];
  readonly other: readonly number[];
}

/** Every length with every depth, in this order; the keys are numbers of the stream `seed`, also in this order. */
export function cellsOf(grid: Grid, seed: number): Cell[] {
  const random: Random = { seed, counter: 0 };
  const { keyMin, keyMax } = grid;
  const keys = () => {
    const key = keyMin + Math.floor(draw(random) * (keyMax - keyMin + 1));
    const least = Math.max(keyMin, 10 ** (`${key}`.length - 1));
    const most = Math.min(keyMax, 10 ** `${key}`.length - 1);
    if (least === most) throw new OptionError(mismatch("keys", `at least two of ${`${key}`.length} digits`, key));
    const other = least + Math.floor(draw(random) * (most - least));
    return { key, other: other < key ? other : other + 1 };
  };
  return grid.lengths.flatMap((length) =>
    grid.depths.map((depth) => ({ length, depth, keys: Array.from({ length: grid.trials }, keys) })),
  );
}

/**
 * Makes the paper's prompts with exactly the requested number of tokens: BOS, the prefix, fillers, the sentence with
 * the key, fillers, the question; one space between sentences. The key comes after a whole number of fillers. The
 * remaining length is filled with the start of a filler before the question; nothing else is ever cut.
 *
 * The paper's question ends in a space. It does so here if the tokenizer makes it a token of its own (Llama); otherwise
 * the space starts the answer's first token (GPT-2).
 */
export class PromptMaker {
  readonly #tokenizer: Tokenizer;
  readonly #begin: readonly number[];
  readonly #filler: readonly number[];
  readonly #question: readonly number[];
  /** Whether the question ends in a space. */
  readonly #spaced: boolean;

  constructor(tokenizer: Tokenizer, bos: number | undefined) {
    this.#tokenizer = tokenizer;
    this.#begin = [...(bos === undefined ? [] : [bos]), ...this.#encode(PREFIX)];
    this.#filler = this.#sentence(FILLER);
    const spaced = this.#sentence(`${QUESTION} `);
    this.#spaced = startsWith(this.#sentence(`${QUESTION} 1`), spaced);
    this.#question = this.#spaced ? spaced : this.#sentence(QUESTION);
  }

  /** The prompts of a cell. Throws OptionError if its length is too short for one. */
  prompts({ length, depth, keys }: Cell): Prompt[] {
    const sentences = keys.map(({ key }) => this.#sentence(hidden(key)));
    const longest = Math.max(...sentences.map((sentence) => sentence.length));
    const room = length - this.#begin.length - longest - this.#question.length;
    if (room < 0) throw new OptionError(mismatch("lengths", `at least ${length - room} tokens for a prompt`, length));
    const before = Math.round(depth * Math.floor(room / this.#filler.length)) * this.#filler.length;
    return keys.map(({ key, other }, i) => {
      const begin = [...this.#begin, ...this.#fill(before), ...(sentences[i] as number[])];
      return {
        ids: [...begin, ...this.#fill(length - begin.length - this.#question.length), ...this.#question],
        shared: this.#begin.length + before,
        ...{ key, answer: this.answer(key), other: this.answer(other) },
      };
    });
  }

  /** As many as the longest key needs: one per digit, and one for the space if it is not in the question. */
  answerTokens(keyMax: number): number {
    return `${keyMax}`.length + (this.#spaced ? 0 : 1);
  }

  /** The tokens of a key as they continue the question. */
  answer(key: number): number[] {
    return this.#behind(this.#question, this.#sentence(`${QUESTION} ${key}`));
  }

  /** The first tokens of repeated fillers. */
  #fill(tokens: number): number[] {
    return Array.from({ length: tokens }, (_, i) => this.#filler[i % this.#filler.length] as number);
  }

  /** The tokens of a text after a sentence and a space. */
  #sentence(text: string): number[] {
    return this.#behind(this.#encode(PREFIX), this.#encode(`${PREFIX} ${text}`));
  }

  #encode(text: string): number[] {
    return this.#tokenizer.encode(text, { addSpecialTokens: false });
  }

  #behind(begin: readonly number[], whole: readonly number[]): number[] {
    if (startsWith(whole, begin)) return whole.slice(begin.length);
    const found = JSON.stringify(this.#tokenizer.decode(whole.slice(begin.length - 1)));
    throw new ModelError(mismatch(this.#tokenizer.name, "tokens that do not cross the end of a sentence", found));
  }
}

function startsWith(ids: readonly number[], begin: readonly number[]): boolean {
  return begin.every((id, i) => ids[i] === id);
}

/**
 * The baseline of Table 2: BOS and the last tokens of a prompt, `length` in all, so that the question is included, and
 * the key if it is not too far back. A prompt that is no longer than that stays as it is.
 */
export function truncated(prompt: Prompt, length: number, bos: number | undefined): Prompt {
  if (prompt.ids.length <= length) return prompt;
  const begin = bos === undefined ? [] : [bos];
  return { ...prompt, ids: [...begin, ...prompt.ids.slice(begin.length - length)], shared: 0 };
}
