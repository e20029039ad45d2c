/** Tokenizers of every family against Hugging Face's Rust library: ids, decoded texts, and how every code point is cut. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Field } from "../../src/tokenizer/field.ts";
import { compileNormalizer } from "../../src/tokenizer/normalizer.ts";
import { compilePreTokenizer } from "../../src/tokenizer/pretokenizer.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { python } from "./python.ts";

interface Reference {
  readonly json: { readonly normalizer: unknown; readonly pre_tokenizer: unknown };
  readonly texts: string[];
  readonly rows: [framed: number[], bare: number[], decoded: string, everything: string][];
  readonly codes: [text: string, normalized: string, pieces: string[]][];
}

const TEXTS = 5000;
const SHOWN = 5;
const ROOT = new URL("../../", import.meta.url);
const FILES = [
  ...["llama-5m", "gptj-6m", "mpt-5m"].map((name) => `models/lambent-${name}`),
  ...["tokenizers/gpt2", "tokenizers/gpt-neox-20b", "tokenizers/llama2"].map((name) => `../shared/${name}`),
  ...["stories260K", "babyllama-tok105"].map((name) => `../shared/checkpoints/${name}`),
].map((folder) => fileURLToPath(new URL(`${folder}/tokenizer.json`, ROOT)));

let differences = 0;

function compare(what: string, text: string, found: unknown, expected: unknown): number {
  if (JSON.stringify(found) === JSON.stringify(expected)) return 0;
  if (differences++ < SHOWN) console.log({ what, text: JSON.stringify(text), found, expected });
  return 1;
}

const asked = process.argv.slice(2);
const names = python("hf_tokenizers.py", ["--list"]).trimEnd().split("\n");
for (const name of asked.length > 0 ? asked : [...names, ...FILES.filter((file) => existsSync(file))]) {
  const { json, texts, rows, codes } = JSON.parse(python("hf_tokenizers.py", [name, `${TEXTS}`])) as Reference;
  const tokenizer = new Tokenizer(json, {}, name);
  const counts = { ids: 0, decoded: 0, codes: 0 };
  for (const [i, text] of texts.entries()) {
    const [framed, bare, decoded, everything] = rows[i] as Reference["rows"][number];
    counts.ids += compare(`${name}: ids`, text, tokenizer.encode(text), framed);
    counts.ids += compare(`${name}: bare ids`, text, tokenizer.encode(text, { addSpecialTokens: false }), bare);
    counts.decoded += compare(`${name}: decoded`, text, tokenizer.decode(framed), decoded);
    const all = tokenizer.decode(framed, { skipSpecialTokens: false });
    counts.decoded += compare(`${name}: decoded with special tokens`, text, all, everything);
  }
  const normalize = compileNormalizer(new Field(json.normalizer, "normalizer"));
  const cut = compilePreTokenizer(new Field(json.pre_tokenizer, "pre_tokenizer"));
  for (const [text, normalized, pieces] of codes) {
    counts.codes += compare(`${name}: normalized`, text, normalize(text), normalized);
    counts.codes += compare(`${name}: pieces`, text, cut(normalized, true), pieces);
  }
  const label = name.replace(/^.*\/([^/]+)\/tokenizer.json$/, "$1");
  console.log(
    `${label}: ${texts.length} texts, ids ${counts.ids}, decoded ${counts.decoded}; ${codes.length} code points, ${counts.codes} different`,
  );
}
console.log(`${differences} differences`);
process.exit(differences > 0 ? 1 : 0);
