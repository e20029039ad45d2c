import { describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { textFiles } from "../../src/cli/eval/texts.ts";
import { documentOf } from "../../src/eval/document.ts";
import { withCheckpoint } from "../../src/load.ts";
import { loadTokenizer } from "../../src/load_tokenizer.ts";
import { MODELS } from "../setup.ts";

const directory = await mkdtemp(join(tmpdir(), "lambent-texts-"));
const file = async (name: string, content: string | Uint8Array) => {
  await mkdir(join(directory, "texts", "folder"), { recursive: true });
  await writeFile(join(directory, name), content);
  return join(directory, name);
};
const tokenizer = await withCheckpoint(join(MODELS, "lambent-llama-5m"), {}, loadTokenizer);
if (!tokenizer) throw new Error("no tokenizer");
const PROSE = "It was late in the evening – naïve café, “日本語” and 12,345 more…\n".repeat(400);

describe("texts", () => {
  test("of a directory come by name, with its folders and without hidden files", async () => {
    await file("texts/b.txt", "b");
    await file("texts/.hidden", "x");
    await file("texts/folder/a.txt", "a");
    const found = await textFiles([join(directory, "texts")]);
    expect(found.map(({ path }) => path.slice(directory.length))).toEqual(["/texts/b.txt", "/texts/folder/a.txt"]);
  });

  test.each([
    ["binary.txt", Uint8Array.of(80, 75, 3, 4, 0, 0, 1), "a zero at byte 4"],
    ["utf16.txt", Uint8Array.of(0xff, 0xfe, 65, 0), "a zero at byte 3"],
    ["latin1.txt", Uint8Array.of(65, 0xe9, 66), "bytes that are not"],
  ])("%s is refused by name", async (name, content, reason) => {
    const [text] = await textFiles([await file(name, content)]);
    await expect(text?.read(100)).rejects.toThrow(`${name}: expected UTF-8 text, found ${reason}`);
  });

  test("what is empty or no file is refused before anything is read", async () => {
    const empty = await file("empty.txt", "");
    await expect(textFiles([empty])).rejects.toThrow("empty.txt: expected UTF-8 text, found an empty file");
    await expect(textFiles(["/dev/null"])).rejects.toThrow("/dev/null: expected a text file or a directory of them");
  });

  test("a file that is not there is refused by name", async () => {
    await expect(textFiles([join(directory, "none.txt")])).rejects.toThrow(
      "none.txt: expected a text file or a directory",
    );
  });

  test("a text that is too short is refused with both numbers", async () => {
    const [text] = await textFiles([await file("short.txt", "Once upon a time")]);
    await expect(documentOf("short.txt", text!.read, tokenizer, 0, 4000)).rejects.toThrow(
      /short.txt: expected at least 4000 tokens, BOS included, found \d+/,
    );
  });

  test("the first tokens of a part are those of the whole", async () => {
    const [text] = await textFiles([await file("prose.txt", PROSE)]);
    const whole = tokenizer.encode(PROSE, { addSpecialTokens: false });
    for (const length of [2, 10, 100, 1000, 3000]) {
      const { ids } = await documentOf("prose.txt", text!.read, tokenizer, 0, length);
      expect(ids).toEqual([0, ...whole.slice(0, length - 1)]);
    }
    expect((await documentOf("prose.txt", text!.read, tokenizer, undefined, Infinity)).ids).toEqual(whole);
  });

  test("a part never ends within a character", async () => {
    const characters = "é日𝒳".repeat(2000);
    const [text] = await textFiles([await file("wide.txt", characters)]);
    for (let n = 1; n < 40; n++) {
      const part = await text!.read(n);
      expect(characters.startsWith(part.text)).toBe(true);
    }
  });
});
