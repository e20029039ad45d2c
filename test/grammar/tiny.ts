/** What these tests share: a random tiny model whose 61 tokens write JSON, and random texts of a grammar. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LoadOptions, load, type Model } from "../../src/entry/index.ts";
import { Automaton, DEAD } from "../../src/grammar/automaton.ts";
import { compileRules } from "../../src/grammar/program.ts";
import { compileSchema } from "../../src/grammar/schema.ts";
import { BYTE_CHARS } from "../../src/tokenizer/bytelevel.ts";
import { FIXTURES } from "../setup.ts";

export const EOS = 2;

/** Characters up to U+00FF stand for bytes: many tokens cross the borders of JSON, some end inside of a character. */
const TEXTS = [
  ...["<pad>", "<s>", "</s>", ...'{}[]":,-.0123459\\ \n', ..."abeflmnorstu"],
  ...['{"', '":', '","', '"}', "],", "}}", '": "', "true", "false", "null", '"a":', "12", '[{"'],
  ...["\u00c3\u00a9", "\u00c3", "\u00a9", "\u00e2\u0082", "\u00ac", "\u00e2", "\u0082", "\u00f0\u009f", "\u0098\u0080"],
  ...['\u00a9"', '"a"', '"],', ', "', "\n  "],
];

const byteChars = (text: string) => [...text].map((char) => BYTE_CHARS[char.charCodeAt(0)]).join("");

const TOKENIZER = {
  added_tokens: [0, 1, EOS].map((id) => ({ id, content: TEXTS[id], special: true, normalized: false })),
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: false },
  decoder: { type: "ByteLevel" },
  model: {
    type: "BPE",
    vocab: Object.fromEntries(TEXTS.map((text, id) => [id > EOS ? byteChars(text) : text, id])),
    merges: [],
  },
};

const folders: string[] = [];

/** A tiny model with that tokenizer. */
export function tiny(options: LoadOptions = {}): Promise<Model> {
  const folder = mkdtempSync(join(tmpdir(), "lambent-test-"));
  folders.push(folder);
  cpSync(join(FIXTURES, "llama-gqa-tied"), folder, { recursive: true });
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(TOKENIZER));
  writeFileSync(join(folder, "generation_config.json"), JSON.stringify({ eos_token_id: EOS }));
  return load(folder, { nLocal: 32, nGlobal: 3, threads: 1, ...options });
}

export function removeTiny(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** The automaton of a schema. */
export const schemaAutomaton = (schema: unknown) => new Automaton(compileRules(compileSchema(schema)));

/** Whether an automaton reads a text to its end. */
export function accepts(automaton: Automaton, text: string): boolean {
  let state = automaton.start();
  for (const byte of new TextEncoder().encode(text)) {
    state = automaton.step(state, byte);
    if (state === DEAD) return false;
  }
  return automaton.accepts(state);
}

/**
 * A text that an automaton allows, byte by byte, by random numbers from 0 to 1; undefined if it is longer than `most` bytes.
 * Throws if the text can neither end nor go on.
 */
export function randomText(automaton: Automaton, random: () => number, most = 2000): string | undefined {
  const bytes: number[] = [];
  for (let state = automaton.start(); bytes.length < most; ) {
    const next = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => automaton.step(state, byte) !== DEAD);
    const text = () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    const ends = automaton.accepts(state);
    if (ends && (next.length === 0 || random() < 0.3)) return text();
    if (next.length === 0) throw new Error(`stuck behind ${text()}`);
    // Brackets are closed more often than not.
    const closing = next.filter((byte) => '"}]'.includes(String.fromCharCode(byte)));
    const from = closing.length > 0 && random() < 0.25 ? closing : next;
    bytes.push(from[Math.floor(random() * from.length)] as number);
    state = automaton.step(state, bytes.at(-1) as number);
  }
  return undefined;
}

/** Random numbers from 0 to 1 by a seed. see: mulberry32 */
export function randomNumbers(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
