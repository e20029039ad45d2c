import { expect, test } from "bun:test";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { changed, ownJson, readGolden } from "./files.ts";

const { texts, cases, characterLevel } = readGolden();
const byteLevel = ownJson();

test.each(cases)("as Hugging Face: $name", ({ name, base, changes, rows }) => {
  const tokenizer = new Tokenizer(changed(base === "byte" ? byteLevel : characterLevel, changes), {}, name);
  expect(rows.length).toBe(texts.length);
  texts.forEach((text, i) => {
    const [ids, decoded] = rows[i]!;
    expect({ text, ids: tokenizer.encode(text) }).toEqual({ text, ids });
    expect({ text, decoded: tokenizer.decode(ids) }).toEqual({ text, decoded });
  });
});
