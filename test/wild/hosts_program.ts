/** Runs in every host, given golden.jsonl: prints which one it is and a hash of what src/tokenizer makes of every code point. */
import { readFileSync } from "node:fs";
import json from "../../models/lambent-llama-5m/tokenizer.json";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { CODE_POINTS, hash } from "../tokenizer/code_points.ts";

interface Case {
  readonly name: string;
  readonly base: "byte" | "char";
  readonly changes: Record<string, unknown>;
}

// Of the configurations that golden.jsonl has for the embedded tokenizer those that look at characters.
const NAMED =
  /^(byte-level|Llama 3|Qwen|DeepSeek|o200k|Kimi|Digits|Punctuation Isolated|Whitespace|NF|StripAccents|Lowercase)/;
const lines = readFileSync(process.argv[2] as string, "utf8");
const cases = lines
  .trimEnd()
  .split("\n")
  .slice(1)
  .map((line) => JSON.parse(line) as Case);

/** Large blocks of like characters, of which some are enough. */
const LIKE = [
  [0x3400, 0x9fff],
  [0xac00, 0xf8ff],
  [0x17000, 0x187ff],
  [0x20000, 0x32300],
  [0x33500, 0xdffff],
  [0xe0200, 0x10ffff],
] as const;
const TOGETHER = 32;

const codes = CODE_POINTS.filter((code) => code % 89 === 0 || !LIKE.some(([a, b]) => code > a && code < b));
const texts: string[] = [];
for (let at = 0; at < codes.length; at += TOGETHER) {
  const some = codes.slice(at, at + TOGETHER).map((code) => String.fromCodePoint(code));
  texts.push(some.map((c) => `a${c}b1${c}2 ${c}.${c}\u0301 Σ${c}`).join("\n"));
}

let value: number | undefined;
for (const { name, base, changes } of cases) {
  if (base !== "byte" || !NAMED.test(name)) continue;
  const tokenizer = new Tokenizer({ ...json, ...changes }, {}, name);
  for (const text of texts) value = hash(tokenizer.encode(text).join(), value);
}
const { bun, deno, node, unicode } = process.versions as Record<string, string | undefined>;
console.log(`${bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`}, Unicode ${unicode ?? "?"}`);
console.log((value ?? 0).toString(16).padStart(8, "0"));
