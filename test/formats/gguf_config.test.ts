/** What a GGUF's metadata means as a config.json, key by key; the numbers are checked in test/model/gguf.test.ts. */
import { describe, expect, test } from "bun:test";
import { openGguf } from "../../src/formats/gguf_checkpoint.ts";
import { programOf } from "../../src/models/index.ts";
import { MemoryFiles, modelError } from "./files.ts";
import { bool, f32, f32Tensor, ggufFile, type TestTensor, type Typed, text, texts, u32 } from "./gguf_files.ts";

type Entries = Readonly<Record<string, Typed>>;
/** A tensor of many rows without numbers. */
const EMPTY = f32Tensor("blk.0.attn_q.weight", [2 ** 40, 0], []);
const EMPTY_NAME = "model.layers.0.self_attn.q_proj.weight";
const TABLE = f32Tensor("token_embd.weight", [5, 8], Array(40).fill(0.5));

/** Keys of an architecture, and of all. */
function metadataOf(architecture: string, own: Entries, more: Entries = {}): Entries {
  const sizes = {
    ...{ block_count: u32(2), embedding_length: u32(8), feed_forward_length: u32(16), context_length: u32(64) },
    ...{ "attention.head_count": u32(2), "attention.layer_norm_rms_epsilon": f32(1e-6), ...own },
  };
  const prefixed = Object.entries(sizes).map(([key, value]) => [`${architecture}.${key}`, value]);
  return { "general.architecture": text(architecture), ...Object.fromEntries(prefixed), ...more };
}

async function open(metadata: Entries, tensors: readonly TestTensor[] = [TABLE]) {
  const files = new MemoryFiles({ "x.gguf": ggufFile({ metadata, tensors }) });
  const checkpoint = await openGguf(files, "x.gguf");
  await checkpoint.close();
  expect(files.current).toBe(0);
  return checkpoint;
}
const configOf = async (architecture: string, own: Entries = {}, tensors?: readonly TestTensor[]) =>
  (await open(metadataOf(architecture, own), tensors)).config;
async function refusal(architecture: string, own: Entries = {}, tensors?: readonly TestTensor[]): Promise<string> {
  return modelError(() => open(metadataOf(architecture, own), tensors));
}

describe("what is not said", () => {
  test("llama: as many key heads as heads, 10000, tied without output.weight", async () => {
    const config = await configOf("llama");
    expect(config).toEqual({
      ...{ model_type: "llama", vocab_size: 5, hidden_size: 8, intermediate_size: 16, num_hidden_layers: 2 },
      ...{ num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 64, rope_theta: 10000 },
      ...{ rms_norm_eps: 1e-6, attention_bias: false, tie_word_embeddings: true },
    });
    const untied = await configOf("llama", {}, [TABLE, { ...TABLE, name: "output.weight" }]);
    expect(untied.tie_word_embeddings).toBe(false);
  });

  test("Gemma 3: every sixth layer is global, local ones turn by 10000, the scale is that of a head", async () => {
    const own = { "attention.sliding_window": u32(16), "attention.key_length": u32(4), "rope.freq_base": f32(1e6) };
    const config = await configOf("gemma3", { ...own, block_count: u32(8) });
    const sliding = Array(5).fill("sliding_attention");
    expect(config).toMatchObject({
      ...{ model_type: "gemma3_text", rope_theta: 1e6, rope_local_base_freq: 10000, query_pre_attn_scalar: 4 },
      layer_types: [...sliding, "full_attention", "sliding_attention", "sliding_attention"],
    });
    expect(await configOf("gemma3", { ...own, block_count: u32(62), embedding_length: u32(32) })).toMatchObject({
      query_pre_attn_scalar: 16,
    });
    const said = { "attention.sliding_window_pattern": { array: 7, values: [1, 0] }, "rope.freq_base_swa": f32(5000) };
    expect(await configOf("gemma3", { ...own, ...said })).toMatchObject({
      ...{ layer_types: ["sliding_attention", "full_attention"], rope_local_base_freq: 5000 },
    });
    expect((await configOf("gemma3", { ...own, "attention.sliding_window_pattern": u32(2) })).layer_types).toEqual([
      "sliding_attention",
      "full_attention",
    ]);
    programOf(config, "x");
  });

  test("Gemma 2: every second layer is global", async () => {
    const own = { "attention.sliding_window": u32(16), "attention.key_length": u32(4) };
    const caps = { attn_logit_softcapping: f32(50), final_logit_softcapping: f32(30) };
    expect(await configOf("gemma2", { ...own, ...caps })).toMatchObject({
      ...{ layer_types: ["sliding_attention", "full_attention"], attn_logit_softcapping: 50 },
      ...{ final_logit_softcapping: 30, query_pre_attn_scalar: 4 },
    });
  });

  test("SmolLM3: every fourth layer has no positions", async () => {
    expect((await configOf("smollm3", { block_count: u32(5) })).no_rope_layers).toEqual([1, 1, 1, 0, 1]);
  });
});

describe("rotary positions", () => {
  const factors = [
    f32Tensor("rope_factors_long.weight", [2], [2, 3.1]),
    f32Tensor("rope_factors_short.weight", [2], [1, 1.1]),
  ];
  const cases: [string, string, Entries, TestTensor[], object][] = [
    [
      "linear",
      "llama",
      { "rope.scaling.type": text("linear"), "rope.scaling.factor": f32(4) },
      [],
      { rope_type: "linear", factor: 4 },
    ],
    [
      "linear, as it was written first",
      "llama",
      { "rope.scale_linear": f32(4) },
      [],
      { rope_type: "linear", factor: 4 },
    ],
    [
      "yarn",
      "qwen2",
      {
        ...{ "rope.scaling.type": text("yarn"), "rope.scaling.factor": f32(4), "rope.scaling.yarn_beta_fast": f32(16) },
        "rope.scaling.original_context_length": u32(32),
      },
      [],
      { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32, beta_fast: 16 },
    ],
    [
      "yarn with a multiplier",
      "mistral3",
      {
        ...{
          "rope.scaling.type": text("yarn"),
          "rope.scaling.factor": f32(4),
          "attention.temperature_scale": f32(0.1),
        },
        ...{ "rope.scaling.original_context_length": u32(32), "rope.scaling.yarn_log_multiplier": f32(1) },
      },
      [],
      {
        ...{ rope_type: "yarn", factor: 4, original_max_position_embeddings: 32, llama_4_scaling_beta: 0.1 },
        ...{ mscale: 1, mscale_all_dim: 1 },
      },
    ],
    [
      "Llama 3's, as divisors",
      "llama",
      {},
      [f32Tensor("rope_freqs.weight", [2], [1, 1.1])],
      { rope_type: "divided", factors: [1, 1.1] },
    ],
    [
      "longrope",
      "phi3",
      { "rope.scaling.original_context_length": u32(32), "rope.scaling.attn_factor": f32(1.2) },
      factors,
      { rope_type: "longrope", long_factor: [2, 3.1], short_factor: [1, 1.1], attention_factor: 1.2 },
    ],
  ];
  test.each(cases)("%s", async (_, architecture, own, tensors, scaling) => {
    const config = await configOf(architecture, own, [...tensors, TABLE]);
    expect(config.rope_scaling).toEqual(scaling);
    programOf(config, "x");
  });

  test("their tensors are no weights of the model", async () => {
    const { tensors } = await open(metadataOf("phi3", { "rope.scaling.original_context_length": u32(32) }), [
      ...factors,
      TABLE,
    ]);
    expect([...tensors.keys()]).toEqual(["model.embed_tokens.weight"]);
  });
});

describe("names, rows and numbers", () => {
  const norm = f32Tensor("output_norm.weight", [8], Array(8).fill(1.5));
  const matrix = (name: string, rows: number) => f32Tensor(name, [rows, 8], Array(8 * rows).fill(0));

  test("llama: query and key heads are in pairs of neighbours, biases too", async () => {
    const tensors = [matrix("blk.1.attn_q.weight", 8), f32Tensor("blk.1.attn_k.bias", [4], [1, 2, 3, 4])];
    const own = { "attention.head_count_kv": u32(1) };
    const found = (await open(metadataOf("llama", own), [TABLE, ...tensors, norm])).tensors;
    expect(found.get("model.layers.1.self_attn.q_proj.weight")?.rows).toEqual([
      { first: 0, count: 2, step: 2 },
      { first: 1, count: 2, step: 2 },
      { first: 4, count: 2, step: 2 },
      { first: 5, count: 2, step: 2 },
    ]);
    expect(found.get("model.layers.1.self_attn.k_proj.bias")?.rows).toEqual([
      { first: 0, count: 2, step: 2 },
      { first: 1, count: 2, step: 2 },
    ]);
    expect(found.get("model.norm.weight")).toMatchObject({
      dtype: "F32",
      shape: [8],
      added: undefined,
      rows: undefined,
    });
    const others = (await open(metadataOf("qwen2", own), [TABLE, ...tensors])).tensors;
    expect(others.get("model.layers.1.self_attn.q_proj.weight")?.rows).toBeUndefined();
  });

  test("Gemma: norms have their 1 in them", async () => {
    const own = { "attention.sliding_window": u32(16) };
    const found = (await open(metadataOf("gemma3", own), [TABLE, norm])).tensors;
    expect(found.get("model.norm.weight")?.added).toBe(1);
    expect(found.get("model.embed_tokens.weight")?.added).toBeUndefined();
  });

  test("a tensor that the architecture does not have keeps its name", async () => {
    const found = (await open(metadataOf("llama", {}), [TABLE, matrix("blk.0.attn_sinks.weight", 1)])).tensors;
    expect([...found.keys()]).toEqual(["model.embed_tokens.weight", "blk.0.attn_sinks.weight"]);
  });
});

describe("tokens", () => {
  const metadata = (more: Entries, ...tokens: string[]) =>
    metadataOf("llama", {}, { "tokenizer.ggml.tokens": texts(...tokens), ...more });

  test("a text ends at eos, eot, eom and at what ends an answer by its text", async () => {
    const types = { "tokenizer.ggml.token_type": { array: 5, values: [3, 1, 1, 3, 4] } };
    const ids = {
      "tokenizer.ggml.eos_token_id": u32(3),
      "tokenizer.ggml.eot_token_id": u32(0),
      "tokenizer.ggml.bos_token_id": u32(0),
    };
    const found = await open(metadata({ ...types, ...ids }, "<s>", "a", "<|im_end|>", "</s>", "</s>"));
    expect(found.generationConfig).toEqual({ bos_token_id: 0, eos_token_id: [3, 0, 2] });
    expect(found.config).toMatchObject({ bos_token_id: 0, eos_token_id: [3, 0, 2] });
  });

  test("ids that the model does not have are none", async () => {
    const ids = { "tokenizer.ggml.eos_token_id": u32(5), "tokenizer.ggml.padding_token_id": u32(2 ** 32 - 1) };
    expect((await open(metadata(ids, "a", "b"))).generationConfig).toEqual({});
  });

  test("what a tokenizer is made of goes along, and nothing else", async () => {
    const template = { "tokenizer.chat_template": text("{{ x }}"), "general.license": text("x") };
    const { tokenizer } = await open(metadata(template, "a"));
    expect([...(tokenizer?.keys() ?? [])]).toEqual(["tokenizer.ggml.tokens", "tokenizer.chat_template"]);
    expect(structuredClone(tokenizer)).toEqual(tokenizer);
  });
});

describe("refused by name", () => {
  test("architectures, keys and values that are not computed", async () => {
    const architectures =
      "llama, qwen2, qwen3, gemma2, gemma3, phi3, gptneox, smollm3, olmo2, granite, mistral3, stablelm, mpt";
    expect(await refusal("qwen35")).toBe(
      `dir/x.gguf: general.architecture: expected one of ${architectures}, found qwen35`,
    );
    expect(await refusal("constructor")).toEndWith("found constructor");
    expect(await refusal("llama", { expert_count: u32(8) })).toBe(
      "dir/x.gguf: llama.expert_count: expected a key that this kind of model has, found 8",
    );
    await open(metadataOf("llama", { expert_count: u32(0), vocab_size: u32(5), "rope.scaling.finetuned": bool(true) }));
    expect(await refusal("llama", { "attention.causal": bool(false) })).toBe(
      "dir/x.gguf: llama.attention.causal: expected true, found false",
    );
    expect(await refusal("llama", { "attention.head_count": { array: 4, values: [2, 4] } })).toBe(
      "dir/x.gguf: llama.attention.head_count: expected the same number for every layer, found [2,4]",
    );
    expect(
      (await configOf("llama", { "attention.head_count": { array: 4, values: [2, 2] } })).num_attention_heads,
    ).toBe(2);
    expect(await refusal("llama", { "attention.head_count": text("2") })).toBe(
      "dir/x.gguf: llama.attention.head_count: expected a number, found 2",
    );
    expect(await refusal("llama", { "rope.scaling.type": text("longrope") })).toBe(
      "dir/x.gguf: llama.rope.scaling.type: expected none, linear or yarn, found longrope without its tensors",
    );
    const yarn = {
      "rope.scaling.type": text("yarn"),
      "rope.scaling.factor": f32(4),
      "rope.scaling.attn_factor": f32(2),
    };
    expect(await refusal("llama", yarn)).toBe(
      "dir/x.gguf: llama.rope.scaling.attn_factor: expected 1 beside yarn, found 2",
    );
    expect((await open(metadataOf("llama", {}), [TABLE, EMPTY])).tensors.get(EMPTY_NAME)?.rows).toBeUndefined();
    const lengths = { "attention.key_length": u32(4), "attention.value_length": u32(8) };
    expect(await refusal("llama", lengths)).toBe(
      "dir/x.gguf: llama.attention.value_length: expected the key length (4), found 8",
    );
    expect(await refusal("granite", { "rope.scaling.finetuned": bool(false) })).toBe(
      "dir/x.gguf: granite.rope.scaling.finetuned: expected true, a model with rotary positions, found false",
    );
    expect(await modelError(() => open({}))).toEndWith(
      `general.architecture: expected one of ${architectures}, found nothing`,
    );
    expect(await refusal("llama", {}, [])).toBe("dir/x.gguf: expected tensor token_embd.weight, found none");
    expect(await refusal("llama", {}, [{ ...TABLE, name: "rope_freqs.weight" }])).toBe(
      "dir/x.gguf: tensor rope_freqs.weight: expected at most 16384 numbers of F32, found F32 [5,8]",
    );
  });

  test("a size that is missing or of another kind, in the words of the model's schema", async () => {
    const { config, configName } = await open(metadataOf("llama", { embedding_length: f32(8.5) }));
    expect(await modelError(() => programOf(config, configName))).toBe(
      "dir/x.gguf: hidden_size: expected a whole number from 1 to 1048576, found 8.5",
    );
  });
});
