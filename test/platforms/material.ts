/** The models that are served, and what the suite compares them with. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dense, FAMILIES, policyOf, randomIds } from "../engine/tiny.ts";
import { readSafetensors } from "../reference/safetensors.ts";
import { FIXTURES, GGUF, MODELS } from "../setup.ts";
import { changed, llamaJson, ownJson, readGolden } from "../tokenizer/files.ts";
import type { Golden, Material, TokenizerVectors } from "./program/material.ts";

const EMBEDDED = ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"];
/** One fixture of each family, and one of each dtype. */
const QUICK_GOLDENS = ["llama-gqa-tied", "llama-f16", "llama-bf16", "mistral-window", "qwen2", "mpt-heads6", "gptj"];
const QUICK_GGUFS = ["qwen2.gguf", "gemma3-text.gguf", "split-00001-of-00003.gguf", "types.gguf"];
const QUICK_TOKENIZERS = [
  "byte-level as it is",
  "Llama 3",
  "NFKC",
  "Metaspace always split True",
  "Llama 2, byte tokens",
];
/** The fixture that broken models are made from. */
const SOUND = "llama-gqa-tied";

/** Fills `folder` with models, and material.json beside them. */
export function writeMaterial(folder: string, quick: boolean): void {
  mkdirSync(folder);
  for (const name of EMBEDDED) symlinkSync(join(MODELS, name), join(folder, name));
  const fixtures = readdirSync(FIXTURES, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of fixtures) copyFixture(folder, name, name);
  symlinkSync(GGUF, join(folder, "gguf"));
  writeBroken(folder);
  const ggufs = readdirSync(GGUF).filter((name) => name.endsWith(".gguf") && !/-0000[2-9]-of-/.test(name));
  const material: Material = {
    goldens: [
      ...fixtures
        .map(({ name }) => name)
        .filter((name) => !quick || QUICK_GOLDENS.includes(name))
        .map((name) => golden(name, join(FIXTURES, name, "golden.safetensors"))),
      ...ggufs.filter((name) => !quick || QUICK_GGUFS.includes(name)).map(ggufGolden),
    ],
    dense: FAMILIES.flatMap((name) => [8, 24].map((nLocal) => denseGolden(name, nLocal))),
    tokenizers: tokenizers(folder, quick),
    novel: readFileSync(join(MODELS, "texts/austen-persuasion.txt"), "utf8").slice(0, 4000),
  };
  writeFileSync(join(folder, "material.json"), JSON.stringify(material));
}

/** A fixture with a tokenizer, as models that are loaded have one. */
function copyFixture(folder: string, fixture: string, name: string): string {
  const copy = join(folder, name);
  cpSync(join(FIXTURES, fixture), copy, { recursive: true });
  writeFileSync(join(copy, "tokenizer.json"), JSON.stringify(llamaJson()));
  return copy;
}

function golden(model: string, file: string): Golden {
  const tensors = readSafetensors(file);
  const [ids, logits] = ["ids", "logits"].map((name) => [...(tensors.get(name)?.data ?? [])]) as [number[], number[]];
  const window = { attention: "window", nLocal: 16 };
  // How long the text may become decides which factors longrope has.
  const full = { attention: "full", maxPositions: ids.length };
  return { model, ids, logits, options: model === "mistral-window" ? window : full };
}

/** A fixture as a GGUF file: see test/golden/make_gguf.py. */
function ggufGolden(file: string): Golden {
  const name = file.replace(/(-\d+-of-\d+)?\.gguf$/, "");
  const fixture = join(FIXTURES, name === "split" ? "llama-gqa-tied" : name, "golden.safetensors");
  const options = { attention: "full", dtype: "f32", maxPositions: 64 };
  return { ...golden(`gguf/${file}`, name === "types" ? join(GGUF, "types.safetensors") : fixture), options };
}

/** 48 tokens under Λ with a ceiling above the window. */
function denseGolden(model: string, nLocal: number): Golden {
  const ids = randomIds(48, nLocal);
  const options = policyOf("lambda", { nGlobal: 3, nLocal, limit: nLocal + 4 }, ids.length);
  return { model, ids, logits: dense(model, ids, options).flatMap((row) => [...row]), options };
}

/** A tiny model for each tokenizer. */
function tokenizers(folder: string, quick: boolean): TokenizerVectors[] {
  const { texts, cases, characterLevel } = readGolden();
  const taken = cases.filter(({ name }) => !quick || QUICK_TOKENIZERS.includes(name));
  return taken.map(({ name, base, changes, rows }, i) => {
    const model = `tokenizer-${i}`;
    const copy = copyFixture(folder, SOUND, model);
    const json = changed(base === "byte" ? ownJson() : characterLevel, changes);
    writeFileSync(join(copy, "tokenizer.json"), JSON.stringify(json));
    return { name, model, rows: rows.map(([ids, decoded], row) => ({ text: texts[row] as string, ids, decoded })) };
  });
}

function writeBroken(folder: string): void {
  const broken = (name: string, file: string, change?: (bytes: Buffer) => string | Uint8Array) => {
    const path = join(copyFixture(folder, SOUND, `broken-${name}`), file);
    if (change) writeFileSync(path, change(readFileSync(path)));
    else rmSync(path);
  };
  const config = (changes: object) => (bytes: Buffer) =>
    JSON.stringify({ ...JSON.parse(bytes.toString()), ...changes });
  broken("no-weights", "model.safetensors");
  broken("no-tokenizer", "tokenizer.json");
  broken("truncated", "model.safetensors", (bytes) => bytes.subarray(0, -100));
  broken("header", "model.safetensors", (bytes) => bytes.fill(255, 0, 8));
  broken("config", "config.json", (bytes) => bytes.subarray(0, -5));
  broken("model-type", "config.json", config({ model_type: "rwkv" }));
  broken("shape", "config.json", config({ intermediate_size: 7 }));
  broken("nan", "model.safetensors", (bytes) => bytes.fill(255, bytes.length - 8));
}
