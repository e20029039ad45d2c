import { describe, expect, spyOn, test } from "bun:test";
import { mkdir, mkdtemp, open, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkText } from "../../research/cli/text_check.ts";
import { textFiles } from "../../research/cli/texts.ts";
import { documentOf } from "../../research/eval/document.ts";
import { withCheckpoint } from "../../src/session/load.ts";
import { loadTokenizer } from "../../src/session/load_tokenizer.ts";
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
    ["utf16le.txt", Uint8Array.of(0xff, 0xfe, 65, 0), "the byte order mark of UTF-16 at byte 0"],
    ["utf16be.txt", Uint8Array.of(0xfe, 0xff, 0, 65), "the byte order mark of UTF-16 at byte 0"],
    ["utf16.txt", Uint8Array.of(65, 0, 66, 0), "a zero at byte 1: a binary or UTF-16 file"],
    ["latin1.txt", Uint8Array.of(65, 0xe9, 66), "0xe9 at byte 1, which is another encoding"],
    ["cut.txt", Uint8Array.of(65, 0xef, 0xbf, 0xbd, 0xe2, 0x80), "0xe2 at byte 4, which is another encoding"],
    [
      "late.txt",
      new Uint8Array(3 * 2 ** 20).fill(97).fill(0xff, 2 ** 21 + 7, 2 ** 21 + 8),
      `0xff at byte ${2 ** 21 + 7}`,
    ],
  ])("%s is refused by name", async (name, content, reason) => {
    const [text] = await textFiles([await file(name, content)]);
    await expect(text?.read(100)).rejects.toThrow(`${name}: expected UTF-8 text, found ${reason}`);
  });

  test("what is empty or no file is refused before anything is read", async () => {
    const empty = await file("empty.txt", "");
    await expect(textFiles([empty])).rejects.toThrow("empty.txt: expected UTF-8 text, found an empty file");
    await expect(textFiles(["/dev/null"])).rejects.toThrow("/dev/null: expected a text file or a directory of them");
  });

  test("line ends CR LF and CR are read as LF, a byte order mark is left out; each file says so once, with the counts", async () => {
    const lines = ["One day\n", "\n", "the last\n", "two\n"];
    const plain = lines.join("");
    const files: [name: string, content: string, said: string][] = [
      ["lf.txt", plain, ""],
      ["crlf.txt", plain.replaceAll("\n", "\r\n"), "4 line ends CR LF read as LF"],
      ["cr.txt", plain.replaceAll("\n", "\r"), "4 line ends CR read as LF"],
      ["mixed.txt", "One day\r\n\nthe last\rtwo\n", "1 line ends CR LF and 1 line ends CR read as LF"],
      ["mark.txt", `\ufeff${plain}`, "the byte order mark left out"],
      [
        "both.txt",
        `\ufeff${plain.replaceAll("\n", "\r\n")}`,
        "4 line ends CR LF read as LF, the byte order mark left out",
      ],
    ];
    const stderr = spyOn(process.stderr, "write").mockImplementation(() => true);
    try {
      for (const [name, content, said] of files) {
        const path = await file(name, content);
        stderr.mockClear();
        for (let i = 0; i < 2; i++) {
          const [text] = await textFiles([path]);
          expect(await text?.read(1000)).toEqual({ text: plain, whole: true });
          expect(await text?.read(1000)).toEqual({ text: plain, whole: true });
        }
        expect(stderr.mock.calls.map(([line]) => line)).toEqual(said ? [`${path}: ${said}\n`] : []);
      }
    } finally {
      stderr.mockRestore();
    }
  });

  test("line ends are counted over blocks of the file", async () => {
    // One byte of CR LF in each of two blocks, and characters that lie over their bounds.
    const path = await file("blocks.txt", `${"x".repeat(2 ** 20 - 1)}\r\n${"é".repeat(2 ** 20)}\r\r\n`);
    const handle = await open(path);
    expect(await checkText(path, handle)).toEqual({ crlf: 2, cr: 1, mark: false });
    await handle.close();
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
