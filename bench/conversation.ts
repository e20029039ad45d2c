import { readFileSync } from "node:fs";

/** What every tenth turn asks, and what the answer is chosen from: small models say anything if they are free to. */
const QUESTION = "What is the pass word of your house?";
/** The system turn, which has the answer and, as base models need it, an example. */
export const SYSTEM = [
  "This is a conversation with Captain Brown, who answers in one short sentence.",
  "user: Who are you?",
  "assistant: I am Captain Brown.",
  `user: ${QUESTION}`,
  "assistant: The pass word of my house is Kellynch.",
].join("\n");
export const PASS_WORD = "Kellynch";
export const PASS_WORDS = { enum: [PASS_WORD, "Pemberley", "Uppercross", "Netherfield"] };
/** Any model reads it as lines of a dialogue. */
export const TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}" +
  "{% if add_generation_prompt %}assistant:{% endif %}";
/** An answer ends with its line, or after so many tokens. */
export const ANSWER = 24;
const EVERY = 10;
const WORDS = 40;

/** What the user says in each turn: stretches of a novel, and every tenth time the question for the pass word. */
export function questions(turns: number): string[] {
  const path = new URL("../models/texts/austen-persuasion.txt", import.meta.url);
  const words = readFileSync(path, "utf8").replaceAll(PASS_WORD, "the house").split(/\s+/);
  return Array.from({ length: turns }, (_, turn) => {
    const begin = (turn * WORDS) % (words.length - WORDS);
    return isQuestion(turn) ? QUESTION : words.slice(begin, begin + WORDS).join(" ");
  });
}

/** Whether a turn asks for the pass word. */
export function isQuestion(turn: number): boolean {
  return turn % EVERY === 1;
}

/** What was seen of one turn. */
export interface Turn {
  readonly ms: number;
  /** Tokens that were read for it, and those that were known. */
  readonly read: number;
  readonly cached?: number;
  readonly written: number;
  readonly text: string;
  readonly residentMB?: number;
}
