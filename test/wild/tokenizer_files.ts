/**
 * Tokenizers without tokenizer.json against transformers: folders of SentencePiece models, of vocab.json and merges.txt,
 * and of older settings files, with 5,000 strings each: ids with and without special tokens, and two decodings.
 *
 *     bun test/wild/tokenizer_files.ts [golden]
 *
 * `golden`: writes tokenizer_files.json, which test/tokenizer/other_files.test.ts reads, from 18 of the strings; format it
 * with `biome check --write`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tokenizerOf } from "../../src/session/load_tokenizer.ts";
import { ROOT } from "../setup.ts";
import { python } from "./python.ts";

export type Row = [ids: number[], bare: number[], text: string, whole: string];
export interface GoldenCase {
  readonly config: Record<string, unknown>;
  /** By name; the same content of several cases is kept once. */
  readonly files: Record<string, number>;
  readonly rows: Row[];
}
export interface Golden {
  readonly strings: string[];
  readonly contents: string[];
  readonly cases: Record<string, GoldenCase>;
}

const STRINGS = 5000;
const IN_GOLDEN = 18;

/** Strings made of what tokenizers trip over. */
export function hardStrings(count: number): string[] {
  let state = 20261128;
  const random = (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  const parts = [
    ..."the and of captain evening don't I'll we've it's naïve café 1234567890 3.14 $9.99 co-operate".split(" "),
    ...[
      " ",
      "  ",
      "   ",
      "       ",
      "\n",
      "\n\n",
      "\r\n",
      "\t",
      "\u00a0",
      "\u3000",
      "\u2028",
      "\u200b",
      "\ufeff",
      "\0",
    ],
    ...[
      "é",
      "e\u0301",
      "ﬁ",
      "½",
      "Å",
      "ß",
      "İ",
      "你好",
      "こんにちは",
      "한국어",
      "العربية",
      "हिन्दी",
      "ไทย",
      "😀",
      "👩‍👩‍👧",
      "🏳️‍🌈",
    ],
    ...["▁", "▁▁", "▁▁▁", "Ġ", "<", ">", "<s>", "</s>", "<unk>", "<pad>", "<ctl>", "<|im_start|>", "<tool>", "<mask>"],
    ...["<bos>", "<eos>", "<|endoftext|>", "<|padding|>", "<extra>", "<more>", "▁<PRE>", "<renamed40>"],
    ...[
      "<0x0A>",
      "<0x41>",
      "!!!",
      "...",
      "—",
      "'S",
      "'",
      '"',
      "\\",
      "_",
      "aaaa",
      "HELLO",
      "x".repeat(70),
      "\u{10ffff}",
    ],
  ];
  const edges = ["", " ", "  ", "\n", "▁", "<s>", " <s> ", "a<s>b<|im_start|>c<extra> d", " a", "a ", "  a  b  "];
  return Array.from({ length: count }, (_, i) =>
    i < edges.length
      ? (edges[i] as string)
      : Array.from({ length: 1 + random(9) }, () => parts[random(parts.length)]).join(random(2) ? " " : ""),
  );
}

/** What differs from transformers, by string. */
export async function differences(
  name: string,
  config: Record<string, unknown>,
  bytes: ReadonlyMap<string, Uint8Array>,
  strings: readonly string[],
  rows: readonly Row[],
): Promise<string[]> {
  const { model_type: modelType, tokenizer_class: tokenizerClass, vocab_size: vocabSize } = config;
  const tokenizer = await tokenizerOf({ name, bytes, modelType, tokenizerClass, vocabSize });
  return rows.flatMap((row, i) => {
    const text = strings[i] as string;
    const ids = tokenizer.encode(text);
    const whole = tokenizer.decode(row[0], { skipSpecialTokens: false });
    const found: Row = [ids, tokenizer.encode(text, { addSpecialTokens: false }), tokenizer.decode(row[0]), whole];
    const [a, b] = [JSON.stringify(found), JSON.stringify(row)];
    return a === b ? [] : [`${JSON.stringify(text)}\n    found    ${a}\n    expected ${b}`];
  });
}

function folderFiles(folder: string): Map<string, Uint8Array> {
  const names = readdirSync(folder).filter((name) => !["config.json", "expected.json"].includes(name));
  return new Map(names.map((name) => [name, readFileSync(join(folder, name))]));
}

async function main(): Promise<void> {
  const out = mkdtempSync(join(tmpdir(), "lambent-tokenizers-"));
  const texts = readdirSync(join(ROOT, "models/texts"))
    .sort()
    .map((file) => join(ROOT, "models/texts", file));
  const strings = hardStrings(STRINGS);
  const golden: Golden = { strings: strings.slice(0, IN_GOLDEN), contents: [], cases: {} };
  let wrong = 0;
  try {
    const names: string[] = JSON.parse(python("tokenizer_files.py", [out, ...texts], JSON.stringify(strings)));
    for (const name of names) {
      const folder = join(out, name);
      const read = (file: string) => JSON.parse(readFileSync(join(folder, file), "utf8"));
      const [config, rows, files] = [read("config.json"), read("expected.json") as Row[], folderFiles(folder)];
      const found = await differences(name, config, files, strings, rows);
      wrong += found.length;
      console.log(`${name}: ${rows.length} strings, ${found.length} differ`);
      for (const line of found.slice(0, 2)) console.log(`  ${line}`);
      const kept = [...files].map(([file, bytes]): [string, number] => {
        const content = Buffer.from(bytes).toString("base64");
        if (!golden.contents.includes(content)) golden.contents.push(content);
        return [file, golden.contents.indexOf(content)];
      });
      golden.cases[name] = { config, files: Object.fromEntries(kept), rows: rows.slice(0, IN_GOLDEN) };
    }
  } finally {
    rmSync(out, { recursive: true });
  }
  if (process.argv[2] === "golden") {
    await Bun.write(join(import.meta.dir, "tokenizer_files.json"), `${JSON.stringify(golden)}\n`);
  }
  process.exit(wrong > 0 ? 1 : 0);
}

if (import.meta.main) await main();
