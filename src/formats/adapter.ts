import { ModelError, mismatch, show } from "../base/errors.ts";
import { type ByteSource, closeAll, type Files, versionOf } from "../base/source.ts";
import { type Adapter, type AdapterPair, type Checkpoint, readJson, type StoredTensor } from "./checkpoint.ts";
import { isRecord } from "./json.ts";
import { readSafetensors } from "./safetensors.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";
const CONFIG_LIMIT = 10_000_000;

/** The files of an adapter in the layout of PEFT. */
export const ADAPTER_FILES = [CONFIG, WEIGHTS] as const;

/** Keys of adapter_config.json that say how it was trained, or what its tensors say themselves. */
const WITHOUT_EFFECT = new Set([
  ...["task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version"],
  ...["target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "ensure_weight_tying"],
  ...["lora_dropout", "loftq_config", "eva_config", "corda_config", "lora_ga_config", "runtime_config"],
  ...["megatron_config", "megatron_core", "qalora_group_size"],
]);
const USED = new Set(["peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"]);
/** Values of init_lora_weights that leave the model's own weights as they are. */
const INITIAL = [true, false, null, "gaussian", "eva", "orthogonal"];

/** Opens an adapter for a model of this config: the GGUF file that is meant, or else a directory of PEFT. */
export async function openAdapter(
  files: Files,
  scale: number,
  config: Readonly<Record<string, unknown>>,
): Promise<Adapter> {
  if (files.file === undefined) return openPeft(files, scale);
  return (await import("./gguf_adapter.ts")).openGgufAdapter(files, files.file, scale, config);
}

/**
 * Opens a LoRA adapter in the layout of PEFT: adapter_config.json and adapter_model.safetensors, whose tensors stay to be
 * read. `scale`: how strongly it acts, 1 as trained. Throws ModelError for what is none, or is of a kind that this does not
 * compute (such as DoRA), by its key. see: PEFT LoraConfig, LoraLayer
 */
async function openPeft(files: Files, scale: number): Promise<Adapter> {
  const config = await readJson(files, CONFIG, CONFIG_LIMIT);
  const source = config && (await files.open(WEIGHTS));
  if (!source)
    throw new ModelError(mismatch(files.name, `${CONFIG} and ${WEIGHTS}`, config ? `no ${WEIGHTS}` : `no ${CONFIG}`));
  try {
    const where = `${files.name}/${CONFIG}`;
    checkConfig(config, where);
    const pairs = (await pairsOf(source)).map(({ module, a, b }): AdapterPair => {
      return { module, a, b, factor: scale * factorOf(config, module, a.shape[0] ?? 0, where) };
    });
    return { name: files.name, pairs, version: source.version, close: () => source.close() };
  } catch (error) {
    await source.close().catch(() => {});
    throw error;
  }
}

/** A checkpoint with adapters beside it, which are closed with it. */
export function withAdapters(checkpoint: Checkpoint, adapters: readonly Adapter[]): Checkpoint {
  const { name, configName, config, generationConfig, tensors, tokenizer } = checkpoint;
  const all = [checkpoint, ...adapters];
  return {
    ...{ name, configName, config, generationConfig, tensors, tokenizer, adapters },
    version: versionOf(all),
    bytes: (file) => checkpoint.bytes(file),
    close: () => closeAll(all),
  };
}

function checkConfig(config: Readonly<Record<string, unknown>>, where: string): void {
  if (config.peft_type !== "LORA") throw new ModelError(mismatch(`${where}: peft_type`, "LORA", config.peft_type));
  for (const [key, value] of Object.entries(config)) {
    if (USED.has(key) || WITHOUT_EFFECT.has(key)) continue;
    if (key === "init_lora_weights") {
      if (!INITIAL.includes(value as never)) {
        const expected = `one that leaves the model as it is (${INITIAL.join(", ")})`;
        throw new ModelError(mismatch(`${where}: ${key}`, expected, value));
      }
    } else if (key === "bias" ? value !== "none" : !isOff(value)) {
      throw new ModelError(mismatch(`${where}: ${key}`, key === "bias" ? "none" : "false or nothing", value));
    }
  }
}

function isOff(value: unknown): boolean {
  return value === null || value === false || (typeof value === "object" && Object.keys(value).length === 0);
}

/** What B · A is multiplied by. Throws ModelError where the config's rank is not that of the tensors. */
function factorOf(config: Readonly<Record<string, unknown>>, module: string, rank: number, where: string): number {
  const expected = numberOf(config, "r", "rank_pattern", module, where);
  if (expected !== rank)
    throw new ModelError(mismatch(`${where}: rank of ${show(module)}`, `${rank}, as stored`, expected));
  const alpha = numberOf(config, "lora_alpha", "alpha_pattern", module, where);
  return alpha / (config.use_rslora === true ? Math.sqrt(rank) : rank);
}

/** The value of a key for a module, which a pattern may change. see: PEFT get_pattern_key */
function numberOf(
  config: Readonly<Record<string, unknown>>,
  key: string,
  patternKey: string,
  module: string,
  where: string,
): number {
  const patterns = config[patternKey] ?? {};
  if (!isRecord(patterns)) throw new ModelError(mismatch(`${where}: ${patternKey}`, "an object", patterns));
  const pattern = Object.keys(patterns).find((pattern) => matches(pattern, module, `${where}: ${patternKey}`));
  const value = pattern === undefined ? (config[key] ?? 8) : patterns[pattern];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new ModelError(mismatch(`${where}: ${pattern === undefined ? key : patternKey}`, "a number", value));
}

function matches(pattern: string, module: string, where: string): boolean {
  try {
    return new RegExp(`^(?:.*\\.)?(?:${pattern})$`).test(module);
  } catch {
    throw new ModelError(mismatch(where, "regular expressions", pattern));
  }
}

/** The pairs of a file, in its order. */
async function pairsOf(source: ByteSource): Promise<Omit<AdapterPair, "factor">[]> {
  const found = new Map<string, { a?: StoredTensor; b?: StoredTensor }>();
  for (const info of (await readSafetensors(source)).tensors.values()) {
    const [, module, part] = info.name.match(/^base_model\.model\.(.+)\.lora_([AB])\.weight$/) ?? [];
    if (module === undefined || info.shape.length !== 2) {
      const expected = "matrices base_model.model.MODULE.lora_A.weight and lora_B.weight";
      throw new ModelError(mismatch(source.name, expected, `${show(info.name)} [${info.shape}]`));
    }
    const pair = found.get(module) ?? {};
    found.set(module, pair);
    pair[part === "A" ? "a" : "b"] = { ...info, source };
  }
  return [...found].map(([module, { a, b }]) => {
    if (a && b) return { module, a, b };
    throw new ModelError(mismatch(source.name, `lora_A and lora_B of ${show(module)}`, `only lora_${a ? "A" : "B"}`));
  });
}
