import { ModelError, mismatch, show } from "../base/errors.ts";
import type { Files } from "../base/source.ts";
import type { Adapter, AdapterPair, StoredTensor } from "./checkpoint.ts";
import { type GgufFile, readGguf } from "./gguf.ts";
import { ggufNames } from "./gguf_config.ts";
import { Metadata } from "./gguf_metadata.ts";
import { type Heads, hfName, rowsOf } from "./gguf_names.ts";
import { isRecord } from "./json.ts";

/**
 * Opens a LoRA adapter in a GGUF file for a model of this config (Hugging Face's); `scale`: how strongly it acts. Throws
 * ModelError for what is none. see: llama.cpp, llama-adapter.cpp
 */
export async function openGgufAdapter(
  files: Files,
  file: string,
  scale: number,
  config: Readonly<Record<string, unknown>>,
): Promise<Adapter> {
  const source = await files.open(file);
  if (!source) throw new ModelError(mismatch(files.name, `${file} there`, "no such file"));
  try {
    const pairs = pairsOf(await readGguf(source), scale, headsOf(config));
    return { name: source.name, pairs, version: source.version, close: () => source.close() };
  } catch (error) {
    await source.close().catch(() => {});
    throw error;
  }
}

/** The heads of the model, on which the order of the rows of its queries and keys depends. */
function headsOf(config: Readonly<Record<string, unknown>>): Heads {
  const { num_attention_heads: heads, num_key_value_heads: kvHeads } = isRecord(config.text_config)
    ? config.text_config
    : config;
  return { heads: Number(heads), kvHeads: Number(kvHeads ?? heads) };
}

function pairsOf({ metadata: values, tensors, source }: GgufFile, scale: number, heads: Heads): AdapterPair[] {
  const { name } = source;
  const metadata = new Metadata(values, name);
  for (const [key, expected] of [
    ["general.type", "adapter"],
    ["adapter.type", "lora"],
  ] as const) {
    const found = metadata.string(key);
    if (found !== expected) throw new ModelError(mismatch(`${name}: ${key}`, expected, found ?? "nothing"));
  }
  const invoked = metadata.get("adapter.alora.invocation_tokens");
  if (invoked !== undefined)
    throw new ModelError(mismatch(`${name}: adapter.alora.invocation_tokens`, "nothing", invoked));
  const alpha = metadata.number("adapter.lora.alpha") ?? 0;
  const names = ggufNames(metadata);
  const found = new Map<string, { a?: StoredTensor; b?: StoredTensor }>();
  for (const info of tensors.values()) {
    const [, stored = "", part] = info.name.match(/^(.+\.weight)\.lora_([ab])$/) ?? [];
    const weight = hfName(names, stored);
    if (weight === undefined || info.shape.length !== 2) {
      const expected = "matrices NAME.weight.lora_a and .lora_b of this architecture";
      throw new ModelError(mismatch(name, expected, `${show(info.name)} [${info.shape}]`));
    }
    const module = weight.replace(/\.weight$/, "");
    const pair = found.get(module) ?? {};
    found.set(module, pair);
    if (part === "a") pair.a = { ...info, source };
    else pair.b = { ...info, source, rows: rowsOf(names, stored, info.shape[0] ?? 0, heads) };
  }
  return [...found].map(([module, { a, b }]) => {
    if (!a || !b) throw new ModelError(mismatch(name, `lora_a and lora_b of ${module}`, `only lora_${a ? "a" : "b"}`));
    return { module, a, b, factor: alpha ? (scale * alpha) / (a.shape[0] ?? 1) : scale };
  });
}
