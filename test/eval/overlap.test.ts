/** BLEU and ROUGE-L against sacrebleu and rouge-score (test/golden/overlap.py). */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { type Bleu, corpusBleu, type Rouge, rougeL, tokenize13a } from "../../research/eval/overlap.ts";
import { ROOT } from "../setup.ts";

type GoldenBleu = [number, number[], number[], [number, number]];
type GoldenRouge = [number, number, number];
interface Golden {
  whitespace: number[];
  lower: Record<string, string>;
  tokens: [string, string[]][];
  texts: string[];
  pairs: [number, number, GoldenBleu, GoldenRouge][];
  corpora: [number[], GoldenBleu][];
}

const golden = JSON.parse(readFileSync(join(ROOT, "test/golden/fixtures/overlap.json"), "utf8")) as Golden;
const NEAR = 1e-9;

function expectBleu(found: Bleu, [score, counts, totals, lengths]: GoldenBleu): void {
  expect(Math.abs(found.score - score)).toBeLessThanOrEqual(NEAR);
  const { hypothesisLength, referenceLength } = found;
  expect([found.counts, found.totals, [hypothesisLength, referenceLength]]).toEqual([counts, totals, lengths]);
}

function expectRouge({ precision, recall, fmeasure }: Rouge, expected: GoldenRouge): void {
  [precision, recall, fmeasure].forEach((value, i) => {
    expect(Math.abs(value - (expected[i] as number))).toBeLessThanOrEqual(NEAR);
  });
}

const textsOf = ([hypothesis, reference]: Golden["pairs"][number]) =>
  [golden.texts[hypothesis], golden.texts[reference]] as [string, string];
/** The first plane but surrogates, which are no characters of their own; what is asked about has none in the others. */
const characters = Array.from({ length: 0x10000 }, (_, i) => i).filter((i) => i < 0xd800 || i > 0xdfff);

test(`${golden.pairs.length} pairs: BLEU as sacrebleu's, within 1e-9`, () => {
  for (const pair of golden.pairs) {
    const [hypothesis, reference] = textsOf(pair);
    expectBleu(corpusBleu([hypothesis], [reference]), pair[2]);
  }
});

test(`${golden.pairs.length} pairs: ROUGE-L as rouge-score's, within 1e-9`, () => {
  for (const pair of golden.pairs) expectRouge(rougeL(...textsOf(pair)), pair[3]);
});

test("corpora of up to 50 pairs: BLEU of all", () => {
  for (const [chosen, bleu] of golden.corpora) {
    const texts = chosen.map((i) => textsOf(golden.pairs[i] as Golden["pairs"][number]));
    const hypotheses = texts.map(([hypothesis]) => hypothesis);
    const references = texts.map(([, reference]) => reference);
    expectBleu(corpusBleu(hypotheses, references), bleu);
  }
});

describe("characters", () => {
  test("the tokens of each kind of character in each place are sacrebleu's", () => {
    for (const [text, tokens] of golden.tokens) expect(tokenize13a(text)).toEqual(tokens);
  });

  test("whitespace is what it is in Python, within a text and at its end", () => {
    const parts = (code: number) => tokenize13a(`a${String.fromCodePoint(code)}b`);
    // Punctuation splits too, but remains.
    const splits = (code: number) => parts(code).length === 2 && parts(code).join("") === "ab";
    expect(characters.filter(splits)).toEqual(golden.whitespace);
    // A hyphen goes with the line break behind it, unless that is trimmed first.
    const trimmed = (code: number) => tokenize13a(`-\n${String.fromCodePoint(code, code)}`).join("") === "-";
    expect(characters.filter(trimmed)).toEqual(golden.whitespace);
  });

  test("a character beyond ASCII is a letter of ROUGE's where Python's lower() makes it one", () => {
    const lower: Record<string, string> = {};
    for (const code of characters.filter((code) => code > 127)) {
      const character = String.fromCodePoint(code);
      if (rougeL(character, character).fmeasure === 0) continue;
      lower[code] = [..."abcdefghijklmnopqrstuvwxyz0123456789"]
        .filter((c) => rougeL(character, c).fmeasure === 1)
        .join();
    }
    expect(lower).toEqual(golden.lower);
  });
});

describe("ROUGE-L of a literal implementation", () => {
  /** The longest common subsequence by trying all of them. */
  const longest = (a: string[], b: string[]): number => {
    const [first, ...rest] = a;
    if (first === undefined) return 0;
    const at = b.indexOf(first);
    return Math.max(longest(rest, b), at < 0 ? 0 : 1 + longest(rest, b.slice(at + 1)));
  };
  const text = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 8 });

  test("any two texts of up to 8 words", () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const { precision, recall } = rougeL(a.join(" "), b.join(" "));
        const common = longest(a, b);
        expect([precision, recall]).toEqual([common / a.length, common / b.length]);
      }),
    );
  });
});

test("a corpus without pairs, or with unequally many texts, is refused", () => {
  expect(() => corpusBleu([], [])).toThrow("hypotheses: expected one or more, found none");
  expect(() => corpusBleu(["a"], [])).toThrow("references: expected 1, one per hypothesis, found 0");
  expect(() => corpusBleu(["a"], ["a", "b"])).toThrow("references: expected 1, one per hypothesis, found 2");
});
