import { describe, expect, test } from "bun:test";
import { TextStream } from "../../src/tokenizer/stream.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { CHECKPOINTS, own, VECTORS } from "./files.ts";

type Vector = { text: string; ids: number[] };

/** Token by token; no piece may contain a replacement character that the text does not have. */
function stream(tokenizer: Tokenizer, ids: readonly number[]): string {
  const stream = new TextStream(tokenizer);
  let text = "";
  for (const id of ids) {
    const piece = stream.push(id);
    expect(piece).not.toContain("\ufffd");
    text += piece;
  }
  expect(stream.flush()).toBe("");
  return text;
}

describe.each(VECTORS)("llama.cpp's vectors, $name", ({ name, there, load, read }) => {
  test.skipIf(!there)("text to ids, ids to text, and ids to text token by token", () => {
    const tokenizer = load();
    const vectors = read("vectors.json") as Vector[];
    expect(vectors.length).toBeGreaterThanOrEqual(45);
    for (const { text, ids } of vectors) {
      expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(ids);
      const back = name.includes("neox") ? text.normalize("NFC") : text; // GPT-NeoX normalizes
      expect(tokenizer.decode(ids)).toBe(back);
      expect(stream(tokenizer, ids)).toBe(back);
    }
  });
});

describe.each(CHECKPOINTS)("round trips, $name", ({ there, load, read }) => {
  test.skipIf(!there)("of texts, and of the text that the reference generated", () => {
    const tokenizer = load();
    const known = "One day, Tim went to the park. He was happy.";
    for (const text of [known, " two  spaces ", ""]) {
      const ids = tokenizer.encode(text);
      expect(ids[0]).toBe(1); // BOS, by the template
      expect(tokenizer.decode(ids)).toBe(text);
      expect(stream(tokenizer, ids)).toBe(text);
    }
    const reference = read("reference.json") as Record<string, unknown>;
    const ids = Object.values(reference).find((value) => Array.isArray(value) && value.length > 100) as number[];
    expect(stream(tokenizer, ids)).toBe(tokenizer.decode(ids));
  });
});

test("the embedded model's tokenizer keeps every vector's text", () => {
  const tokenizer = own();
  const texts = ["", " ", "\r\n", "日本語", "👩‍👩‍👧‍👦", "\ufeffx", "12345 ½", "\u0000\u0007", "e\u0301"];
  for (const { there, read } of VECTORS)
    if (there) texts.push(...(read("vectors.json") as Vector[]).map((v) => v.text));
  for (const text of texts) {
    const ids = tokenizer.encode(text);
    expect(tokenizer.decode(ids)).toBe(text);
    expect(stream(tokenizer, ids)).toBe(text);
  }
});
