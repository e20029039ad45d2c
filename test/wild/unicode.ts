/**
 * src/tokenizer/unicode_tables.ts against the Rust library, over every code point. With --write it is written anew; the host
 * must know Unicode 16 at least, the reference's newest.
 */
import { writeFile } from "node:fs/promises";
import { digestOf, digestOfTexts } from "../tokenizer/code_points.ts";
import { python } from "./python.ts";

type Range = [first: number, last: number];
interface Reference {
  readonly categories: Record<string, Range[]>;
  readonly properties: Record<string, Range[]>;
  readonly numeric: Range[];
  readonly punctuation: Range[];
  readonly accent: Range[];
  readonly bertControl: Range[];
  readonly nonspacing: Range[];
  readonly youngCases: Record<string, string>;
  readonly lower: Record<string, string>;
  readonly forms: Record<string, Record<string, string>>;
  readonly reordered: string[];
}

const FILE = new URL("../../src/tokenizer/unicode_tables.ts", import.meta.url);
const GOLDEN = new URL("../tokenizer/unicode.json", import.meta.url);
const CODES = 0x110000;
/** Signs of the runs, with the two of letters in turns. In the order of CATEGORIES in src/tokenizer/unicode.ts. */
const NAMES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split(" ");
const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&(";

const reference: Reference = JSON.parse(python("unicode.py"));
const { categories, properties } = reference;

function membersOf(...sets: (readonly Range[] | undefined)[]): Uint8Array {
  const members = new Uint8Array(CODES);
  for (const set of sets) for (const [first, last] of set as Range[]) members.fill(1, first, last + 1);
  return members;
}

function rangesOf(holds: (code: number) => boolean): Range[] {
  const ranges: Range[] = [];
  for (let code = 0; code < CODES; code++) {
    if (!holds(code)) continue;
    const last = ranges.at(-1);
    if (last && last[1] === code - 1) last[1] = code;
    else ranges.push([code, code]);
  }
  return ranges;
}

/** Code points that are in one of the two sets. */
function between(a: Uint8Array, b: Uint8Array): Range[] {
  return rangesOf((code) => a[code] !== b[code]);
}

const group = (letter: string) => NAMES.filter((name) => name[0] === letter && name !== "Cs");
const of = (...names: string[]) => membersOf(...names.map((name) => categories[name]));

/** Runs of one category, or of upper and lower case in turns: a sign and how long it is in base 36, nothing for 1. */
function runs(): string {
  const category = new Array<number>(CODES).fill(NAMES.indexOf("Cs"));
  for (const [name, ranges] of Object.entries(categories)) {
    for (const [first, last] of ranges) category.fill(NAMES.indexOf(name), first, last + 1);
  }
  let text = "";
  for (let at = 0; at < CODES; ) {
    const now = category[at] as number;
    let turns = at + 1;
    while (turns < CODES && (category[turns] as number) < 2 && now < 2 && category[turns] !== category[turns - 1])
      turns++;
    let end = at + 1;
    while (end < CODES && category[end] === now) end++;
    // The last of the turns may begin a run.
    if (category[turns] === category[turns - 1]) turns--;
    const inTurns = turns - at >= 3;
    const length = (inTurns ? turns : end) - at;
    text += `${SIGNS[inTurns ? NAMES.length + now : now]}${length > 1 ? length.toString(36) : ""}`;
    at += length;
  }
  return text;
}

/** Ranges as steps from the end of the one before, and lengths - 1 where they are not 0, in base 36. */
function steps(ranges: readonly Range[]): string {
  let at = 0;
  return ranges
    .map(([first, last]) => {
      const step = (first - at).toString(36);
      at = last + 1;
      return last > first ? `${step},${(last - first).toString(36)}` : step;
    })
    .join(" ");
}

/** Code points that the reference's normalization does not know as this host's does, and those that such ones begin with. */
function unknownToForms(): Range[] {
  const unassigned = of("Cn");
  const unknown = new Uint8Array(CODES);
  let at = 0;
  for (let code = 0; code < CODES; code++) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const order = reference.reordered[at++];
    if (unassigned[code]) continue;
    const c = String.fromCodePoint(code);
    if (`a\u0301${c}|${c}\u0334|a\u0345${c}`.normalize("NFD") !== order) unknown[code] = 1;
    for (const [form, changed] of Object.entries(reference.forms)) {
      if (c.normalize(form) === (changed[code] ?? c)) continue;
      if (changed[code] !== undefined) throw new Error(`U+${code.toString(16)} has another ${form}`);
      unknown[code] = 1;
      if (form === "NFD") unknown[c.normalize(form).codePointAt(0) as number] = 1;
    }
  }
  return rangesOf((code) => unknown[code] === 1);
}

const LINE = 108;
function literal(name: string, doc: string, text: string): string {
  const lines: string[] = [];
  for (let rest = text; rest !== ""; ) {
    const cut = rest.length <= LINE ? rest.length : text.includes(" ") ? rest.lastIndexOf(" ", LINE) + 1 : LINE;
    lines.push(`  "${rest.slice(0, cut)}"`);
    rest = rest.slice(cut);
  }
  return `/** ${doc} */\nexport const ${name} =\n${lines.join(" +\n")};\n`;
}

const letters = of(...group("L"), "Nl", ...group("M"));
const upper = of("Lu");
const lower = of("Ll");
const property = (name: string) => membersOf(properties[name]);
const cases = Object.entries(reference.youngCases).map(([code, text]): [number, number] => {
  if ([...text].length !== 1) throw new Error(`U+${Number(code).toString(16)} becomes several characters`);
  return [Number(code), (text.codePointAt(0) as number) - Number(code)];
});
const caseRuns: [first: number, last: number, distance: number][] = [];
for (const [code, distance] of cases) {
  const last = caseRuns.at(-1);
  if (last && last[1] === code - 1 && last[2] === distance) last[1] = code;
  else caseRuns.push([code, code, distance]);
}

const text = `// Written by test/wild/unicode.ts from the Rust library tokenizers 0.23.3. See unicode.ts.

${literal("CATEGORY_RUNS", "General categories of Unicode 16 (Oniguruma's), as runs from U+0000 on.", runs())}
${literal("ALPHABETIC", "Where Alphabetic differs from L, Nl and M together.", steps(between(letters, property("Alphabetic"))))}
${literal("UPPERCASE", "Where Uppercase differs from Lu.", steps(between(upper, property("Uppercase"))))}
${literal("LOWERCASE", "Where Lowercase differs from Ll.", steps(between(lower, property("Lowercase"))))}
/** The scripts that published patterns name. */
export const SCRIPTS: Readonly<Record<string, string>> = {
${["Han", "Hiragana", "Katakana", "Hangul"].map((name) => `  ${name}:\n    "${steps(properties[name] as Range[])}",`).join("\n")}
};

${literal("NUMERIC", "Where what Rust calls numeric (Unicode 17) differs from N.", steps(between(of(...group("N")), membersOf(reference.numeric))))}
${literal("PUNCTUATION", "Where the punctuation of the crate unicode_categories (Unicode 8) differs from P.", steps(between(of(...group("P")), membersOf(reference.punctuation))))}
${literal("ACCENT", "Where the combining marks of the crate unicode-normalization-alignments differ from M.", steps(between(of(...group("M")), membersOf(reference.accent))))}
${literal("NONSPACING", "Where the nonspacing marks of the crate unicode_categories differ from Mn.", steps(between(of("Mn"), membersOf(reference.nonspacing))))}
${literal("BERT_CONTROL", "Where what BertNormalizer cleans away differs from Cc, Cf and Co.", steps(between(of("Cc", "Cf", "Co"), membersOf(reference.bertControl))))}
${literal("UNKNOWN_TO_FORMS", "Assigned code points that its NFC, NFD, NFKC and NFKD do not know: they stay, and nothing crosses them.", steps(unknownToForms()))}
/** Letters of Unicode 16 and 17 that Rust gives a lower case: first and last code point, and how far their lower case is. */
export const YOUNG_CASES: readonly (readonly [first: number, last: number, distance: number])[] = [
${caseRuns.map((run) => `  [${run.map((n) => (n < 0 ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`)).join(", ")}],`).join("\n")}
];
`;

/** What the reference has, for `bun test`: how many characters, and a hash. */
const golden = {
  about: "made by test/wild/unicode.ts with tokenizers 0.23.3",
  properties: Object.fromEntries(
    [...Object.entries(categories), ...Object.entries(properties)].map(([name, set]) => [name, digestOf(set)]),
  ),
  numeric: digestOf(reference.numeric),
  punctuation: digestOf(reference.punctuation),
  accent: digestOf(reference.accent),
  bertControl: digestOf(reference.bertControl),
  nonspacing: digestOf(reference.nonspacing),
  lower: digestOfTexts((c, code) => reference.lower[code] ?? c),
  ...Object.fromEntries(
    Object.entries(reference.forms).map(([form, changed]) => [form, digestOfTexts((c, code) => changed[code] ?? c)]),
  ),
};

if (process.argv.includes("--write")) {
  await writeFile(FILE, text);
  await writeFile(GOLDEN, `${JSON.stringify(golden, null, 2)}\n`);
}
const spaces = (source: string) => source.replace(/\s+/g, " ");
// Both are formatted after writing.
const kept = JSON.stringify(await Bun.file(GOLDEN).json());
const same = spaces(await Bun.file(FILE).text()) === spaces(text) && kept === JSON.stringify(golden);
console.log(`${text.length} bytes of tables; the files ${same ? "are as the reference" : "differ"}`);
if (!same) process.exit(1);
