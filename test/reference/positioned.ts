/** Models with positions of their own by their definition: one function per family beside the Hugging Face class. */
import { attention, type Policy, type Position } from "./attention";
import * as math from "./math";
import {
  activation,
  type Config,
  embed,
  embeddings,
  flag,
  get,
  inLayer,
  layerType,
  number,
  project,
  text,
  type Watch,
} from "./parts";
import { ropeOf } from "./rope";
import type { Tensors } from "./safetensors";

type Model = (
  config: Config,
  tensors: Tensors,
  ids: ArrayLike<number>,
  policy: Policy,
  watch?: Watch,
) => Float64Array[];

/** What a layer makes of its number, its name and the hidden state [n][hidden_size]: the next one. */
type Layer = (l: number, layer: string, x: Float64Array[]) => Float64Array[];

/** The embedding, all layers, and the head behind a norm. */
function decode(
  config: Config,
  ids: ArrayLike<number>,
  { embedding, head }: ReturnType<typeof embeddings>,
  prefix: string,
  norm: (name: string, x: Float64Array[]) => Float64Array[],
  finalNorm: string,
  layer: Layer,
  watch?: Watch,
): Float64Array[] {
  let x = embed(ids, embedding, number(config, "hidden_size"));
  watch?.hidden(0, x);
  for (let l = 0; l < number(config, "num_hidden_layers"); l++) {
    x = layer(l, `${prefix}.layers.${l}`, x);
    watch?.hidden(l + 1, x);
  }
  return math.linear(norm(finalNorm, x), head);
}

function shapeOf(config: Config, kvDefault?: number) {
  const heads = number(config, "num_attention_heads");
  const headDim = number(config, "head_dim", number(config, "hidden_size") / heads);
  return { heads, kvHeads: number(config, "num_key_value_heads", kvDefault ?? heads), headDim };
}

function rmsNorms(config: Config, tensors: Tensors, eps: number) {
  return (name: string, x: Float64Array[]) =>
    math.rmsNorm(x, get(tensors, `${name}.weight`), number(config, "rms_norm_eps", eps));
}

function layerNorms(config: Config, tensors: Tensors) {
  const eps = number(config, "layer_norm_eps", 1e-5);
  return (name: string, x: Float64Array[]) =>
    math.layerNorm(x, get(tensors, `${name}.weight`), get(tensors, `${name}.bias`), eps);
}

/** The columns [from, from + count) of rows. */
function columns(x: Float64Array[], from: number, count: number): Float64Array[] {
  return x.map((row) => row.slice(from, from + count));
}

/** HF LlamaMLP. */
function gated(tensors: Tensors, layer: string, x: Float64Array[], bias: boolean): Float64Array[] {
  const gate = math.map(project(tensors, `${layer}.mlp.gate_proj`, x, bias), math.silu);
  const up = project(tensors, `${layer}.mlp.up_proj`, x, bias);
  return project(tensors, `${layer}.mlp.down_proj`, math.multiply(gate, up), bias);
}

/** HF Phi3ForCausalLM: qkv_proj and gate_up_proj are several matrices in one. */
const phi3: Model = (config, tensors, ids, policy, watch) => {
  const shape = shapeOf(config);
  const { heads, kvHeads, headDim } = shape;
  const own = { original_max_position_embeddings: 4096, ...config };
  const rope = ropeOf(own, headDim, { policy, tokens: ids.length });
  const norm = rmsNorms(config, tensors, 1e-5);
  const parts = embeddings(config, tensors, "model.embed_tokens.weight", false);
  const inner = number(config, "intermediate_size");
  return decode(
    config,
    ids,
    parts,
    "model",
    norm,
    "model.norm",
    (l, layer, x) => {
      const qkv = project(tensors, `${layer}.self_attn.qkv_proj`, norm(`${layer}.input_layernorm`, x), false);
      const q = columns(qkv, 0, heads * headDim);
      const k = columns(qkv, heads * headDim, kvHeads * headDim);
      const v = columns(qkv, (heads + kvHeads) * headDim, kvHeads * headDim);
      const a = attention(q, k, v, shape, rope, ...inLayer(policy, watch, l));
      const h = math.add(x, project(tensors, `${layer}.self_attn.o_proj`, a, false));
      const gateUp = project(tensors, `${layer}.mlp.gate_up_proj`, norm(`${layer}.post_attention_layernorm`, h), false);
      const gate = math.map(columns(gateUp, 0, inner), math.silu);
      const m = math.multiply(columns(gateUp, inner, inner), gate);
      return math.add(h, project(tensors, `${layer}.mlp.down_proj`, m, false));
    },
    watch,
  );
};

/** HF SmolLM3ForCausalLM: no_rope_layers says which layers do have RoPE. */
const smollm3: Model = (config, tensors, ids, policy, watch) => {
  const shape = shapeOf(config, 4);
  const rope = ropeOf(config, shape.headDim, { policy, tokens: ids.length, theta: 2e6 });
  const norm = rmsNorms(config, tensors, 1e-6);
  const parts = embeddings(config, tensors, "model.embed_tokens.weight", true);
  const bias = flag(config, "attention_bias", false);
  return decode(
    config,
    ids,
    parts,
    "model",
    norm,
    "model.norm",
    (l, layer, x) => {
      const h = norm(`${layer}.input_layernorm`, x);
      const [q, k, v] = ["q", "k", "v"].map((name) => project(tensors, `${layer}.self_attn.${name}_proj`, h, bias));
      const position: Position = (config.no_rope_layers as number[])[l] ? rope : { kind: "none" };
      const isWindowed = flag(config, "use_sliding_window", false) && layerType(config, l) === "sliding_attention";
      const window = isWindowed ? number(config, "sliding_window") : undefined;
      const a = attention(q!, k!, v!, shape, position, ...inLayer(policy, watch, l, window));
      const y = math.add(x, project(tensors, `${layer}.self_attn.o_proj`, a, bias));
      const m = norm(`${layer}.post_attention_layernorm`, y);
      return math.add(y, gated(tensors, layer, m, flag(config, "mlp_bias", false)));
    },
    watch,
  );
};

/** HF Ministral3ForCausalLM: get_llama_4_attn_scale. */
const ministral3: Model = (config, tensors, ids, policy, watch) => {
  const shape = shapeOf(config, 8);
  const parameters = config.rope_parameters as Config;
  const [beta, original] = [
    number(parameters, "llama_4_scaling_beta"),
    number(parameters, "original_max_position_embeddings"),
  ];
  const temperature = (before: number) => 1 + beta * Math.log(1 + Math.floor(before / original));
  const rope = { ...ropeOf(config, shape.headDim, { policy, tokens: ids.length }), temperature };
  const norm = rmsNorms(config, tensors, 1e-5);
  const parts = embeddings(config, tensors, "model.embed_tokens.weight", false);
  return decode(
    config,
    ids,
    parts,
    "model",
    norm,
    "model.norm",
    (l, layer, x) => {
      const h = norm(`${layer}.input_layernorm`, x);
      const [q, k, v] = ["q", "k", "v"].map((name) => project(tensors, `${layer}.self_attn.${name}_proj`, h, false));
      const a = attention(q!, k!, v!, shape, rope, ...inLayer(policy, watch, l));
      const y = math.add(x, project(tensors, `${layer}.self_attn.o_proj`, a, false));
      return math.add(y, gated(tensors, layer, norm(`${layer}.post_attention_layernorm`, y), false));
    },
    watch,
  );
};

/** HF Mistral3ForConditionalGeneration without images. */
const mistral3: Model = (config, tensors, ids, policy, watch) => {
  const own = [...tensors].map(([name, tensor]) => [name.replace(/^language_model\./, ""), tensor] as const);
  return ministral3(config.text_config as Config, new Map(own), ids, policy, watch);
};

/** HF GPTNeoXForCausalLM: query_key_value has query, key and value of one head behind those of another. */
const gptNeox: Model = (config, tensors, ids, policy, watch) => {
  const shape = shapeOf(config);
  const { headDim } = shape;
  const rope = ropeOf(config, headDim, { policy, tokens: ids.length, partialRotaryFactor: 0.25 });
  const norm = layerNorms(config, tensors);
  const bias = flag(config, "attention_bias", true);
  const act = activation(text(config, "hidden_act", "gelu"));
  const embedding = get(tensors, "gpt_neox.embed_in.weight");
  const head = flag(config, "tie_word_embeddings", false) ? embedding : get(tensors, "embed_out.weight");
  return decode(
    config,
    ids,
    { embedding, head },
    "gpt_neox",
    norm,
    "gpt_neox.final_layer_norm",
    (l, layer, x) => {
      const qkv = project(tensors, `${layer}.attention.query_key_value`, norm(`${layer}.input_layernorm`, x), bias);
      const third = (index: number) =>
        qkv.map((row) => row.filter((_, i) => Math.floor((i % (3 * headDim)) / headDim) === index));
      const a = attention(third(0), third(1), third(2), shape, rope, ...inLayer(policy, watch, l));
      const attended = math.add(x, project(tensors, `${layer}.attention.dense`, a, bias));
      const read = flag(config, "use_parallel_residual", true) ? x : attended;
      const m = project(tensors, `${layer}.mlp.dense_h_to_4h`, norm(`${layer}.post_attention_layernorm`, read), true);
      return math.add(attended, project(tensors, `${layer}.mlp.dense_4h_to_h`, math.map(m, act), true));
    },
    watch,
  );
};

/** HF StableLmForCausalLM. */
const stablelm: Model = (config, tensors, ids, policy, watch) => {
  const shape = shapeOf(config, 32);
  const rope = ropeOf(config, shape.headDim, { policy, tokens: ids.length, partialRotaryFactor: 0.25 });
  const norm = layerNorms(config, tensors);
  const bias = flag(config, "use_qkv_bias", false);
  const parts = embeddings(config, tensors, "model.embed_tokens.weight", false);
  return decode(
    config,
    ids,
    parts,
    "model",
    norm,
    "model.norm",
    (l, layer, x) => {
      const h = norm(`${layer}.input_layernorm`, x);
      const [q, k, v] = ["q", "k", "v"].map((name) => project(tensors, `${layer}.self_attn.${name}_proj`, h, bias));
      const a = attention(q!, k!, v!, shape, rope, ...inLayer(policy, watch, l));
      const y = math.add(x, project(tensors, `${layer}.self_attn.o_proj`, a, false));
      const read = flag(config, "use_parallel_residual", false) ? h : norm(`${layer}.post_attention_layernorm`, y);
      return math.add(y, gated(tensors, layer, read, false));
    },
    watch,
  );
};

/** forward of model.ts for the families of this file, by model_type. */
export const POSITIONED: Readonly<Record<string, Model>> = {
  ...{ phi3, smollm3, ministral3, mistral3, gpt_neox: gptNeox, stablelm },
};
