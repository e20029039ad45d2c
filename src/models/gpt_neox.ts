import type { RowRange } from "../base/rows.ts";
import {
  absent,
  boolean,
  divides,
  integer,
  listOf,
  noEffect,
  number,
  oneOf,
  only,
  optionalNumber,
  readConfig,
} from "../formats/config.ts";
import { HIDDEN, LAST } from "./buffers.ts";
import { decoder } from "./decoder.ts";
import { rotary } from "./llama.ts";
import { type AttentionOperation, MAX, type Operation, type Program, Weights } from "./program.ts";
import { partialRotaryFactor, ropeKeysWith } from "./rope_config.ts";

/** GPT-NeoX's components, as words in names of switches; see isHarmless. */
const PARTS =
  /causal|rotary|rope|bias|parallel|before|pre_?norm|gelu|^(use_)?(residual|attention|attn|mlp|norm|layer_?norm)s?$/;
const ACTIVATIONS = {
  gelu: "gelu",
  gelu_new: "geluTanh",
  gelu_fast: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
} as const;

const schema = {
  vocab_size: integer(MAX.vocab),
  hidden_size: integer(MAX.dim),
  intermediate_size: integer(MAX.dim),
  num_hidden_layers: integer(MAX.layers),
  num_attention_heads: integer(MAX.heads),
  max_position_embeddings: integer(MAX.positions),
  hidden_act: oneOf("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh"),
  layer_norm_eps: number(1e-5),
  tie_word_embeddings: boolean(false),
  use_parallel_residual: boolean(true),
  attention_bias: boolean(true),
  ...ropeKeysWith({ partial_rotary_factor: partialRotaryFactor }),
  // Beside rope_parameters, transformers reads these names, not the usual ones.
  rotary_emb_base: optionalNumber(1),
  rotary_pct: partialRotaryFactor,
  rope_theta: noEffect,
  partial_rotary_factor: noEffect,
  layer_types: listOf("full_attention"),
  mlp_layer_types: absent,
  per_layer_config: absent,
  quantization_config: absent,
  tie_last_hidden_states: noEffect,
  causal: only(true),
  is_causal: only(true),
  // Other architectures' keys, which transformers does not read here.
  ...Object.fromEntries(["rms_norm_eps", "layer_norm_epsilon"].map((key) => [key, noEffect])),
} as const;

/**
 * GPT-NeoX, Pythia: LayerNorm with biases, attention and MLP side by side on norms of their own, one matrix for query, key
 * and value of each head, RoPE on a part of each head. see: HF GPTNeoXForCausalLM
 */
export function gptNeox(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(raw, name, schema, PARTS);
  const hidden = config.hidden_size;
  const inner = config.intermediate_size;
  const heads = config.num_attention_heads;
  divides(`${name}: hidden_size`, hidden, "num_attention_heads", heads);
  const headDim = integer(MAX.headDim)(hidden / heads, `${name}: hidden_size / num_attention_heads`);
  const rope = { ...config, rope_theta: config.rotary_emb_base, partial_rotary_factor: config.rotary_pct };
  const attention: AttentionOperation = {
    ...({ op: "attention", y: "attended", q: "q", k: "k", v: "v", window: undefined } as const),
    shape: { heads, kvHeads: heads, headDim, scale: 1 / Math.sqrt(headDim) },
    positions: rotary(name, rope, headDim, { partialRotaryFactor: 0.25 }),
  };
  const weights = new Weights();
  const bias = config.attention_bias;
  const norm = (y: string, x: string, tensor: string) =>
    weights.layerNorm(y, x, tensor, hidden, config.layer_norm_eps, true);
  const third = (y: string, layer: string, index: number) =>
    thirdOf(weights, `${layer}.attention.query_key_value`, y, { index, heads, headDim, bias });
  const table = weights.table("gpt_neox.embed_in.weight", config.vocab_size, hidden, config.tie_word_embeddings);
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i): Operation[] => {
    const layer = `gpt_neox.layers.${i}`;
    const attend = [
      norm("normed", HIDDEN, `${layer}.input_layernorm`),
      ...[third("q", layer, 0), third("k", layer, 1), third("v", layer, 2)],
      attention,
    ];
    const update = weights.update("attended", `${layer}.attention.dense`, hidden, hidden, bias);
    const between = norm("normed", HIDDEN, `${layer}.post_attention_layernorm`);
    return [
      ...attend,
      // Side by side, the MLP reads the hidden state as attention did.
      ...(config.use_parallel_residual ? [between, update] : [update, between]),
      weights.linear("inner", "normed", `${layer}.mlp.dense_h_to_4h`, inner, hidden, true),
      { op: ACTIVATIONS[config.hidden_act], y: "inner", a: "inner" },
      weights.update("inner", `${layer}.mlp.dense_4h_to_h`, hidden, inner, true),
    ];
  });
  return decoder({
    ...{ modelType: "gpt_neox", config, trainedLength: config.max_position_embeddings, hidden, weights, table, layers },
    buffers: { q: hidden, k: hidden, v: hidden, attended: hidden, inner },
    finalNorm: norm(LAST, LAST, "gpt_neox.final_layer_norm"),
    headBias: false,
    headTensor: "embed_out.weight",
  });
}

interface Third {
  /** 0, 1 or 2: query, key or value. */
  readonly index: number;
  readonly heads: number;
  readonly headDim: number;
  readonly bias: boolean;
}

/** y = query, key or value of `normed`: the rows of a tensor [heads, 3, headDim, hidden] that are that third of a head. */
function thirdOf(weights: Weights, tensor: string, y: string, { index, heads, headDim, bias }: Third): Operation {
  const hidden = heads * headDim;
  const rows = Array.from({ length: heads }, (_, head): RowRange => {
    return { first: (3 * head + index) * headDim, count: headDim, step: 1 };
  });
  const part = (kind: "weight" | "bias", ...columns: [] | [number]) =>
    weights.rows(`${tensor}.${kind}[${y}]`, [`${tensor}.${kind}`], [3 * hidden, ...columns], rows, [
      hidden,
      ...columns,
    ] as [number] | [number, number]);
  return { op: "matmul", y, x: "normed", weight: part("weight", hidden), bias: bias ? part("bias") : undefined };
}
