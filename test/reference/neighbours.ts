/** LLaMA's neighbours by their definition, as model.ts has it: one function per family beside the Hugging Face class. */
import { attention, type Policy } from "./attention";
import * as math from "./math";
import { type Config, embed, embeddings, flag, get, inLayer, layerType, number, project, type Watch } from "./parts";
import { ropeOf } from "./rope";
import type { Tensors } from "./safetensors";

type Model = (
  config: Config,
  tensors: Tensors,
  ids: ArrayLike<number>,
  policy: Policy,
  watch?: Watch,
) => Float64Array[];

/** forward of model.ts for the families of this file. */
export const neighbour: Model = (config, tensors, ids, policy, watch) => {
  const families: Record<string, Model> = {
    ...{ qwen3, olmo2: olmo, olmo3: olmo, granite, gemma2: gemma, gemma3_text: gemma, gemma3 },
  };
  const family = families[config.model_type as string];
  if (!family) throw new Error(`model_type: expected a family of the reference, found ${config.model_type}`);
  return family(config, tensors, ids, policy, watch);
};

/** HF Qwen3ForCausalLM: a norm of every query and key head before RoPE. */
const qwen3: Model = (config, tensors, ids, policy, watch) => {
  const eps = number(config, "rms_norm_eps", 1e-6);
  const { heads, kvHeads, headDim } = shapeOf(config, number(config, "head_dim", 128));
  const { embedding, head } = embeddings(config, tensors, "model.embed_tokens.weight", false);
  const bias = flag(config, "attention_bias", false);

  let x = embed(ids, embedding, number(config, "hidden_size")); // [n][hidden_size]
  watch?.hidden(0, x);
  for (let l = 0; l < number(config, "num_hidden_layers"); l++) {
    const layer = `model.layers.${l}`;
    const norm = (name: string, x: Float64Array[]) => math.rmsNorm(x, get(tensors, `${layer}.${name}.weight`), eps);
    const headNorm = (name: string, x: Float64Array[]) =>
      ofHeads(x, headDim, (rows) => norm(`self_attn.${name}`, rows));
    const h = norm("input_layernorm", x);
    const q = headNorm("q_norm", project(tensors, `${layer}.self_attn.q_proj`, h, bias)); // [n][heads·headDim]
    const k = headNorm("k_norm", project(tensors, `${layer}.self_attn.k_proj`, h, bias)); // [n][kvHeads·headDim]
    const v = project(tensors, `${layer}.self_attn.v_proj`, h, bias); // [n][kvHeads·headDim]
    const rope = ropeOf(config, headDim, { policy, tokens: ids.length });
    const a = attention(q, k, v, { heads, kvHeads, headDim }, rope, ...inLayer(policy, watch, l));
    x = math.add(x, project(tensors, `${layer}.self_attn.o_proj`, a, bias));
    x = math.add(x, gatedMlp(tensors, layer, norm("post_attention_layernorm", x), math.silu));
    watch?.hidden(l + 1, x);
  }
  return math.linear(math.rmsNorm(x, get(tensors, "model.norm.weight"), eps), head);
};

/** HF Olmo2ForCausalLM: norms behind attention and MLP, and of all queries and keys together; Olmo3ForCausalLM: windows. */
const olmo: Model = (config, tensors, ids, policy, watch) => {
  const eps = number(config, "rms_norm_eps", 1e-5);
  const hiddenSize = number(config, "hidden_size");
  const shape = shapeOf(config, hiddenSize / number(config, "num_attention_heads"));
  const { embedding, head } = embeddings(config, tensors, "model.embed_tokens.weight", false);
  const bias = flag(config, "attention_bias", false);

  let x = embed(ids, embedding, hiddenSize); // [n][hidden_size]
  watch?.hidden(0, x);
  for (let l = 0; l < number(config, "num_hidden_layers"); l++) {
    const layer = `model.layers.${l}`;
    const norm = (name: string, x: Float64Array[]) => math.rmsNorm(x, get(tensors, `${layer}.${name}.weight`), eps);
    const q = norm("self_attn.q_norm", project(tensors, `${layer}.self_attn.q_proj`, x, bias)); // [n][heads·headDim]
    const k = norm("self_attn.k_norm", project(tensors, `${layer}.self_attn.k_proj`, x, bias)); // [n][kvHeads·headDim]
    const v = project(tensors, `${layer}.self_attn.v_proj`, x, bias); // [n][kvHeads·headDim]
    const type = layerType(config, l);
    const window = type === "sliding_attention" ? number(config, "sliding_window", 4096) : undefined;
    const rope = ropeOf(config, shape.headDim, { type, policy, tokens: ids.length });
    const a = attention(q, k, v, shape, rope, ...inLayer(policy, watch, l, window));
    x = math.add(x, norm("post_attention_layernorm", project(tensors, `${layer}.self_attn.o_proj`, a, bias)));
    x = math.add(x, norm("post_feedforward_layernorm", gatedMlp(tensors, layer, x, math.silu)));
    watch?.hidden(l + 1, x);
  }
  return math.linear(math.rmsNorm(x, get(tensors, "model.norm.weight"), eps), head);
};

/** HF GraniteForCausalLM: LLaMA with four factors. */
const granite: Model = (config, tensors, ids, policy, watch) => {
  const eps = number(config, "rms_norm_eps", 1e-6);
  const hiddenSize = number(config, "hidden_size");
  const headDim = number(config, "head_dim", hiddenSize / number(config, "num_attention_heads"));
  const shape = { ...shapeOf(config, headDim), scale: number(config, "attention_multiplier", 1) };
  const { embedding, head } = embeddings(config, tensors, "model.embed_tokens.weight", false);
  const bias = flag(config, "attention_bias", false);
  const times = (x: Float64Array[], factor: number) => math.map(x, (value) => value * factor);
  const residual = number(config, "residual_multiplier", 1);

  let x = times(embed(ids, embedding, hiddenSize), number(config, "embedding_multiplier", 1)); // [n][hidden_size]
  watch?.hidden(0, x);
  for (let l = 0; l < number(config, "num_hidden_layers"); l++) {
    const layer = `model.layers.${l}`;
    const norm = (name: string, x: Float64Array[]) => math.rmsNorm(x, get(tensors, `${layer}.${name}.weight`), eps);
    const h = norm("input_layernorm", x);
    const [q, k, v] = ["q", "k", "v"].map((name) => project(tensors, `${layer}.self_attn.${name}_proj`, h, bias));
    const rope = ropeOf(config, headDim, { policy, tokens: ids.length });
    const a = attention(q!, k!, v!, shape, rope, ...inLayer(policy, watch, l));
    x = math.add(x, times(project(tensors, `${layer}.self_attn.o_proj`, a, bias), residual));
    const m = gatedMlp(tensors, layer, norm("post_attention_layernorm", x), math.silu, flag(config, "mlp_bias", false));
    x = math.add(x, times(m, residual));
    watch?.hidden(l + 1, x);
  }
  const logits = math.linear(math.rmsNorm(x, get(tensors, "model.norm.weight"), eps), head);
  return times(logits, 1 / number(config, "logits_scaling", 1));
};

/** HF Gemma2ForCausalLM and Gemma3ForCausalLM, which norms queries and keys, has no caps and two bases of RoPE. */
const gemma: Model = (config, tensors, ids, policy, watch) => {
  const isThird = config.model_type === "gemma3_text";
  const eps = number(config, "rms_norm_eps", 1e-6);
  const hiddenSize = number(config, "hidden_size");
  const headDim = number(config, "head_dim", 256);
  const softCap = isThird ? undefined : number(config, "attn_logit_softcapping");
  const scale = number(config, "query_pre_attn_scalar", 256) ** -0.5;
  const shape = { ...shapeOf(config, headDim), scale, softCap };
  const { embedding, head } = embeddings(config, tensors, "model.embed_tokens.weight", true);
  const bias = flag(config, "attention_bias", false);
  const normed = (name: string, x: Float64Array[]) =>
    math.rmsNorm(
      x,
      get(tensors, `${name}.weight`).map((weight) => 1 + weight),
      eps,
    );

  let x = math.map(embed(ids, embedding, hiddenSize), (value) => value * Math.sqrt(hiddenSize)); // [n][hidden_size]
  watch?.hidden(0, x);
  for (let l = 0; l < number(config, "num_hidden_layers"); l++) {
    const layer = `model.layers.${l}`;
    const pattern = number(config, "sliding_window_pattern", isThird ? 6 : 2);
    const byPattern = (l + 1) % pattern === 0 ? "full_attention" : "sliding_attention";
    const type = config.layer_types ? layerType(config, l) : byPattern;
    const window = type === "sliding_attention" ? number(config, "sliding_window", 4096) : undefined;
    const norm = (name: string, x: Float64Array[]) => normed(`${layer}.${name}`, x);
    const headNorm = (name: string, x: Float64Array[]) =>
      isThird ? ofHeads(x, headDim, (rows) => norm(`self_attn.${name}`, rows)) : x;
    const h = norm("input_layernorm", x);
    const q = headNorm("q_norm", project(tensors, `${layer}.self_attn.q_proj`, h, bias)); // [n][heads·headDim]
    const k = headNorm("k_norm", project(tensors, `${layer}.self_attn.k_proj`, h, bias)); // [n][kvHeads·headDim]
    const v = project(tensors, `${layer}.self_attn.v_proj`, h, bias); // [n][kvHeads·headDim]
    const rope = ropeOf(isThird ? gemma3Rope(config) : config, headDim, { type, policy, tokens: ids.length });
    const a = attention(q, k, v, shape, rope, ...inLayer(policy, watch, l, window));
    x = math.add(x, norm("post_attention_layernorm", project(tensors, `${layer}.self_attn.o_proj`, a, bias)));
    const m = gatedMlp(tensors, layer, norm("pre_feedforward_layernorm", x), math.geluNew);
    x = math.add(x, norm("post_feedforward_layernorm", m));
    watch?.hidden(l + 1, x);
  }
  const logits = math.linear(normed("model.norm", x), head);
  const cap = config.final_logit_softcapping as number | null | undefined;
  return cap ? math.map(logits, (value) => cap * Math.tanh(value / cap)) : logits;
};

/** HF Gemma3ForConditionalGeneration without images. */
const gemma3: Model = (config, tensors, ids, policy, watch) => {
  const own = [...tensors].map(([name, tensor]) => [name.replace(/^language_model\./, ""), tensor] as const);
  return gemma(config.text_config as Config, new Map(own), ids, policy, watch);
};

/** transformers 5's spelling of Gemma 3's two bases of RoPE, of which rope_scaling changes one. */
function gemma3Rope(config: Config): Config {
  if (config.rope_parameters) return config;
  const full = { rope_theta: config.rope_theta ?? 1e6, ...(config.rope_scaling as Config) };
  const sliding = { rope_theta: config.rope_local_base_freq ?? 1e4 };
  return { ...config, rope_scaling: null, rope_parameters: { full_attention: full, sliding_attention: sliding } };
}

function shapeOf(config: Config, headDim: number) {
  const heads = number(config, "num_attention_heads");
  return { heads, kvHeads: number(config, "num_key_value_heads", heads), headDim };
}

/** f of every head of x [n][heads·headDim], as rows [n·heads][headDim]. */
function ofHeads(x: Float64Array[], headDim: number, f: (heads: Float64Array[]) => Float64Array[]): Float64Array[] {
  return x.map((row) => {
    const heads = Array.from({ length: row.length / headDim }, (_, i) => row.slice(i * headDim, (i + 1) * headDim));
    return Float64Array.from(f(heads).flatMap((head) => [...head]));
  });
}

/** HF LlamaMLP, Gemma2MLP: x [n][hidden_size] → [n][hidden_size]. */
function gatedMlp(
  tensors: Tensors,
  layer: string,
  x: Float64Array[],
  act: (x: number) => number,
  bias = false,
): Float64Array[] {
  const gate = math.map(project(tensors, `${layer}.mlp.gate_proj`, x, bias), act); // [n][intermediate_size]
  const up = project(tensors, `${layer}.mlp.up_proj`, x, bias); // [n][intermediate_size]
  return project(tensors, `${layer}.mlp.down_proj`, math.multiply(gate, up), bias);
}
