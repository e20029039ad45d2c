/** Checkpoints whose tensors are called otherwise than the model calls them: found all the same, or refused by name. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { checkpointOf, engineOf, FAMILIES, firstDifference, fixture, randomIds, type Tiny } from "../engine/tiny.ts";
import { MemoryFiles, modelError } from "../formats/files.ts";
import { FIXTURES, logitsOf } from "../setup.ts";

setDefaultTimeout(60_000);

const IDS = randomIds(20, 5);
const FILE = "tiny/model.safetensors";

function renamed(name: string, rename: (tensor: string, index: number) => string): Tiny {
  const { config, tensors } = fixture(name);
  return { config, tensors: new Map([...tensors].map(([tensor, value], i) => [rename(tensor, i), value])) };
}

const inside = (segment: string) => (tensor: string) =>
  tensor.replace(/\.(\d+)\.([^.]+)\./, `.$1.${segment}.$2.${segment}.`);
const RENAMINGS: Record<string, (tensor: string, index: number) => string> = {
  "without the base model's prefix": (tensor) => tensor.replace(/^(model|transformer)\./, ""),
  "DataParallel's": (tensor) => `module.${tensor}`,
  "torch.compile's": (tensor) => `_orig_mod.${tensor}`,
  "torch.compile's, layer by layer": inside("_orig_mod"),
  "FSDP's and its checkpoints'": (tensor) =>
    `_fsdp_wrapped_module.${inside("_fsdp_wrapped_module._checkpoint_wrapped_module")(tensor)}`,
  "Fairscale's": (tensor) => `_fpw_module.${inside("_fsdp_wrapped_module._fpw_module")(tensor)}`,
  "Lightning's": (tensor) => `_forward_module.model.${tensor}`,
  "PEFT's": (tensor) => `base_model.model.${tensor}`,
  "PEFT's, on layers too": (tensor) => `base_model.model.${tensor.replace(/_proj\./, "_proj.base_layer.")}`,
  "base_model.": (tensor) => `base_model.${tensor}`,
  "several, one in another": (tensor) => `_orig_mod.module.base_model.model.${tensor}`,
  "several, the other way round": (tensor) => `base_model.model.module._orig_mod.${tensor}`,
  "wrapped, and without the base model's": (tensor) => `module.${tensor.replace(/^(model|transformer)\./, "")}`,
  "different for every tensor": (tensor, i) => ["", "module.", "_orig_mod.", "base_model.model."][i % 4] + tensor,
};

describe.each(FAMILIES)("%s", (name) => {
  test.each(Object.entries(RENAMINGS))("prefixes: %s", async (_, rename) => {
    const plain = await engineOf(name);
    const engine = await engineOf(renamed(name, rename));
    expect(engine.unused).toEqual([]);
    expect(engine.modelHash).toBe(plain.modelHash);
    expect(firstDifference(await logitsOf(engine, IDS), await logitsOf(plain, IDS))).toBe(-1);
  });
});

test("the hash of a checkpoint stays what it was, for snapshots", async () => {
  const hashes = await Promise.all(FAMILIES.map(async (name) => (await engineOf(name)).modelHash.toString(16)));
  expect(hashes).toEqual(["be7b0d85ca507aff", "3de08b533566133", "62d87db7d8f55a00"]);
});

test("errors call a tensor what the file calls it", async () => {
  const tiny = renamed("gptj", (tensor) => `module.${tensor}`);
  const weight = tiny.tensors.get("module.transformer.ln_f.weight")!;
  tiny.tensors.set("module.transformer.ln_f.weight", { ...weight, shape: [2, 16] });
  expect(await modelError(() => engineOf(tiny))).toBe(
    "tiny: module.transformer.ln_f.weight: expected shape [32], found [2,16]",
  );
  new Uint32Array(weight.bytes.buffer, 0, 1)[0] = 0x7fc00000;
  tiny.tensors.set("module.transformer.ln_f.weight", weight);
  expect(await modelError(() => engineOf(tiny))).toBe(
    `${FILE}: module.transformer.ln_f.weight[0]: expected a finite number, found NaN`,
  );
});

test("a model without its head needs one that is not tied: refused by its name", async () => {
  const { config, tensors } = renamed("llama-untied", RENAMINGS["without the base model's prefix"]!);
  tensors.delete("lm_head.weight");
  expect(await modelError(() => engineOf({ config, tensors }))).toBe(
    "tiny: expected a tensor lm_head.weight, found none",
  );
  const wrapped = renamed("llama-untied", (tensor) => `pretrained_model.${tensor}`);
  expect(await modelError(() => engineOf(wrapped))).toMatch(
    /^tiny: expected a tensor (.*), found pretrained_model\.\1$/,
  );
});

test("two tensors of one name are refused where the model needs it, by both names", async () => {
  const { config, tensors } = fixture("llama-gqa-tied");
  tensors.set("module.norm.weight", tensors.get("model.norm.weight")!);
  expect(await modelError(() => engineOf({ config, tensors }))).toBe(
    "tiny: expected one tensor model.norm.weight, found model.norm.weight and module.norm.weight",
  );
});

test("what no weight is called stays unused, however its name begins", async () => {
  const { config, tensors } = fixture("llama-gqa-tied");
  const spare = tensors.get("model.norm.weight")!;
  const buffers = [
    "rotary_emb.inv_freq",
    "module.model.layers.0.self_attn.rotary_emb.inv_freq",
    "h.0.attn.masked_bias",
  ];
  const others = ["vision_tower.model.norm.weight", "ema.model.norm.weight", "model.visual.norm.weight"];
  const twice = ["value_head.weight", "module.value_head.weight"];
  for (const name of [...buffers, ...others, ...twice]) tensors.set(name, spare);
  const { unused } = planModel(await checkpointOf({ config, tensors }), {});
  expect(unused).toEqual([...others, ...twice]);
});

test("what an index names and no shard has is asked for only where a weight needs it", async () => {
  const folder = join(FIXTURES, "llama-gqa-tied");
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const shard = new Uint8Array(readFileSync(join(folder, "model.safetensors")));
  const names = [...fixture("llama-gqa-tied").tensors.keys(), "lm_head.weight", "model.rotary_emb.inv_freq"];
  const layer = "model.layers.2.input_layernorm.weight";
  const open = (layers: number) =>
    openDirectory(
      new MemoryFiles({
        "config.json": { ...config, num_hidden_layers: layers },
        "model.safetensors.index.json": {
          weight_map: Object.fromEntries([...names, layer].map((name) => [name, "a"])),
        },
        a: shard,
      }),
    );
  expect(planModel(await open(2), {}).unused).toEqual([]);
  const deeper = await open(3);
  expect(await modelError(() => planModel(deeper, {}))).toBe(`dir: expected a tensor ${layer}, found none`);
});

test.each([
  "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
  "model.layers.0.self_attn.q_proj.lora_B.default.weight",
  "model.embed_tokens.lora_embedding_A",
  "model.layers.1.mlp.up_proj.lora_magnitude_vector",
  "model.layers.1.mlp.down_proj.ia3_l",
  "model.layers.1.mlp.down_proj.hada_w1_a",
  "lm_head.modules_to_save.default.weight",
])("an adapter that is not merged is refused: %s", async (name) => {
  const { config, tensors } = fixture("llama-gqa-tied");
  tensors.set(name, tensors.get("model.norm.weight")!);
  expect(await modelError(() => engineOf({ config, tensors }))).toBe(
    `tiny: expected adapters merged into the weights (merge_and_unload of peft), found tensor ${name}`,
  );
});
