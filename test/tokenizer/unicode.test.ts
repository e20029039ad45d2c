/** Characters as the reference sees them, whatever Unicode this host knows. */
import { describe, expect, test } from "bun:test";
import { Field } from "../../src/tokenizer/field.ts";
import { compileNormalizer } from "../../src/tokenizer/normalizer.ts";
import { compilePattern } from "../../src/tokenizer/pattern.ts";
import { compilePreTokenizer } from "../../src/tokenizer/pretokenizer.ts";
import { digestOfTexts, digestWhere } from "./code_points.ts";
import golden from "./unicode.json";

const field = (json: unknown) => new Field(json, "x");
const pattern = (source: string) => compilePattern(field({ Regex: source }));
const cut = (json: unknown) => compilePreTokenizer(field(json));
const normalizer = (json: unknown) => compileNormalizer(field(json));
/** The characters of a set, by what a pre-tokenizer cuts from a letter. */
const cutOff = (json: unknown) => {
  const pieces = cut(json);
  return digestWhere((c) => pieces(`a${c}`, true).length === 2);
};
const split = (source: string, text: string) =>
  cut({ type: "Split", pattern: { Regex: source }, behavior: "Isolated", invert: false })(text, true);

test("ASCII's characters are to the host what they are in the reference, so that its own classes serve", () => {
  for (let code = 0; code < 128; code++) {
    const character = String.fromCharCode(code);
    for (const name of ["L", "N", "White_Space"]) {
      expect(pattern(`^\\p{${name}}$`).test(character)).toBe(new RegExp(`^\\p{${name}}$`, "u").test(character));
    }
  }
});

describe("every code point is as in the reference", () => {
  test.each(Object.entries(golden.properties))("\\p{%s}", (name, digest) => {
    const set = pattern(`^\\p{${name}}$`);
    const others = pattern(`^\\P{${name}}$`);
    const inside = pattern(`^[^\\P{${name}}\\n]$`);
    const holds = (regex: RegExp) => (character: string) => character.search(regex) >= 0;
    expect(digestWhere(holds(set))).toEqual(digest as [number, number]);
    expect(digestWhere(holds(others))[0]).toBe(0x110000 - 0x800 - (digest[0] as number));
    expect(digestWhere(holds(inside))[0]).toBe((digest[0] as number) - (holds(set)("\n") ? 1 : 0));
  });

  test("Digits, Punctuation, StripAccents: by tables of their own", () => {
    expect(cutOff({ type: "Digits", individual_digits: true })).toEqual(golden.numeric as [number, number]);
    expect(cutOff({ type: "Punctuation" })).toEqual(golden.punctuation as [number, number]);
    const strip = normalizer({ type: "StripAccents" });
    expect(digestWhere((c) => strip(c) === "")).toEqual(golden.accent as [number, number]);
  });

  test("BertNormalizer: what it cleans away, and what it strips", () => {
    const off = { type: "BertNormalizer", clean_text: false, handle_chinese_chars: false, lowercase: false };
    const [clean, strip] = [normalizer({ ...off, clean_text: true }), normalizer({ ...off, strip_accents: true })];
    expect(digestWhere((c) => clean(c) === "")).toEqual(golden.bertControl as [number, number]);
    expect(digestWhere((c) => strip(c) === "")).toEqual(golden.nonspacing as [number, number]);
  });

  test("Lowercase", () => {
    expect(digestOfTexts(normalizer({ type: "Lowercase" }))).toEqual(golden.lower as [number, number]);
  });

  test.each(["NFC", "NFD", "NFKC", "NFKD"] as const)("%s", (type) => {
    expect(digestOfTexts(normalizer({ type }))).toEqual(golden[type] as [number, number]);
  });
});

test("lower case goes character by character", () => {
  const lower = normalizer({ type: "Lowercase" });
  expect(lower("ΟΔΟΣ ΑΣ. Σ ΣΑΣΣ")).toBe("οδοσ ασ. σ σασσ");
  expect(lower("İIıẞǅ\u{16ea0}\ua7ce\u{10d65}")).toBe("i̇iıßǆ\u{16ebb}\ua7cf\u{10d85}");
});

test("what normalization does not know stays, and nothing is composed or reordered over it", () => {
  const nfc = normalizer({ type: "NFC" });
  const nfd = normalizer({ type: "NFD" });
  const unknown = [
    "\u{113c2}\u{113c2}",
    "\u{105d2}\u0307",
    "\u{11935}\u{11930}",
    "\u{1611e}\u{1611e}",
    "a\u0334\u{1e6e3}\u0316",
  ];
  for (const text of unknown) {
    expect(nfc(`e\u0301${text}`)).toBe(`é${text}`);
    expect(nfd(`é${text}`)).toBe(`e\u0301${text}`);
  }
});

describe("patterns are Oniguruma's", () => {
  // The expected pieces are those of Hugging Face tokenizers 0.23.3.
  test.each([
    ["(?i:'s|'k|'ll)", "a'ſb'\u212a'LLb'Sa", ["a", "'ſ", "b", "'\u212a", "'LL", "b", "'S", "a"]],
    ["'(?i:[sdmt]|ll)", "a'ſb'S", ["a", "'ſ", "b", "'S"]],
    ["(?i)[a-z]+", "SK\u212aſ-é", ["SK\u212aſ", "-é"]],
    ["\\p{^L}", "éa bc!", ["éa", " ", "bc", "!"]],
    ["\\P{^alpha}", "é !b", ["é", " !", "b"]],
    ["\\p{letter}|\\p{Decimal_Number}|\\p{ punct }", "é1-", ["é", "1", "-"]],
    ["\\p{han}", "a漢\u{323b0}b", ["a", "漢", "\u{323b0}b"]],
    ["[\\p{Lu}&&[^\\p{Han}A]]", "AB\ua7ce", ["A", "B", "\ua7ce"]],
    ["\\\\p", "a\\p{L}", ["a", "\\p", "{L}"]],
    ["\\s++$|\\s*[\r\n]|\\s", "a \n. ", ["a", " \n", ".", " "]],
    ["(?>a|ab)c|[ab]?+b|.", "abcabb", ["ab", "c", "ab", "b"]],
    ["(?i:[sk]++t)|(?:[]x]{2})+|s{1,2}+", "SKt]xssssk", ["SKt", "]x", "ssss", "k"]],
    ["s(?i:s)s", "sss sſs ſss", ["sss", " ", "sſs", " ſss"]],
  ])("%s", (source, text, pieces) => {
    expect(split(source, text)).toEqual(pieces);
  });
});
