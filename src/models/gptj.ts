import {
  absent,
  boolean,
  divides,
  integer,
  noEffect,
  number,
  oneOf,
  only,
  optionalInteger,
  readConfig,
  withoutAliases,
} from "../formats/config.ts";
import { HIDDEN, LAST } from "./buffers.ts";
import { decoder } from "./decoder.ts";
import { type AttentionOperation, MAX, type Operation, type Program, Weights } from "./program.ts";
import { inverseFrequencies } from "./rope_scaling.ts";

/** attribute_map of transformers' GPTJConfig. */
const ALIASES = {
  hidden_size: "n_embd",
  num_attention_heads: "n_head",
  num_hidden_layers: "n_layer",
  max_position_embeddings: "n_positions",
};
/** GPT-J's components, as words in names of switches; see isHarmless. */
const PARTS =
  /causal|rotary|bias|parallel|before|pre_?norm|gelu|^(use_)?(residual|attention|attn|mlp|norm|layer_?norm)s?$/;
const unused = (...keys: string[]) => Object.fromEntries(keys.map((key) => [key, noEffect]));

const schema = {
  vocab_size: integer(MAX.vocab),
  n_embd: integer(MAX.dim),
  n_layer: integer(MAX.layers),
  n_head: integer(MAX.heads),
  n_positions: integer(MAX.positions),
  n_inner: optionalInteger(MAX.dim),
  rotary_dim: integer(MAX.dim, 64),
  activation_function: oneOf("gelu_new"),
  layer_norm_epsilon: number(1e-5),
  tie_word_embeddings: boolean(false),
  rotary: only(true),
  scale_attn_weights: only(true),
  per_layer_config: absent,
  quantization_config: absent,
  layer_types: absent,
  mlp_layer_types: absent,
  parallel_attn: only(true),
  use_parallel_residual: only(true),
  causal: only(true),
  is_causal: only(true),
  ...unused("n_ctx", "tie_last_hidden_states"),
  // Other architectures' keys, which transformers does not read here.
  ...unused("intermediate_size", "hidden_act", "layer_norm_eps", "rms_norm_eps"),
} as const;

/** GPT-J: attention and MLP side by side on one LayerNorm, rotary pairs of neighbours. see: HF GPTJForCausalLM */
export function gptj(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(withoutAliases(raw, ALIASES), name, schema, PARTS);
  const hidden = config.n_embd;
  const inner = config.n_inner ?? 4 * hidden;
  const heads = config.n_head;
  divides(`${name}: n_embd`, hidden, "n_head", heads);
  const headDim = integer(MAX.headDim)(hidden / heads, `${name}: n_embd / n_head`);
  const rotaryDim = integer(headDim)(config.rotary_dim, `${name}: rotary_dim`);
  divides(`${name}: rotary_dim`, rotaryDim, "a pair", 2);
  const attention = attentionOf(heads, headDim, rotaryDim);
  const weights = new Weights();
  const norm = (y: string, x: string, tensor: string) =>
    weights.layerNorm(y, x, tensor, hidden, config.layer_norm_epsilon, true);
  const table = weights.table("transformer.wte.weight", config.vocab_size, hidden, config.tie_word_embeddings);
  const layers = Array.from({ length: config.n_layer }, (_, i): Operation[] => {
    const layer = `transformer.h.${i}`;
    return [
      norm("normed", HIDDEN, `${layer}.ln_1`),
      weights.linear("q", "normed", `${layer}.attn.q_proj`, hidden, hidden, false),
      weights.linear("k", "normed", `${layer}.attn.k_proj`, hidden, hidden, false),
      weights.linear("v", "normed", `${layer}.attn.v_proj`, hidden, hidden, false),
      attention,
      weights.update("attended", `${layer}.attn.out_proj`, hidden, hidden, false),
      weights.linear("inner", "normed", `${layer}.mlp.fc_in`, inner, hidden, true),
      { op: "geluTanh", y: "inner", a: "inner" },
      weights.update("inner", `${layer}.mlp.fc_out`, hidden, inner, true),
    ];
  });
  return decoder({
    ...{ modelType: "gptj", config, trainedLength: config.n_positions, hidden, weights, table, layers },
    buffers: { q: hidden, k: hidden, v: hidden, attended: hidden, inner },
    finalNorm: norm(LAST, LAST, "transformer.ln_f"),
    headBias: true,
  });
}

/** Attention over neighbours' rotary pairs in the first `rotaryDim` numbers of each head. */
function attentionOf(heads: number, headDim: number, rotaryDim: number): AttentionOperation {
  return {
    ...({ op: "attention", y: "attended", q: "q", k: "k", v: "v" } as const),
    shape: { heads, kvHeads: heads, headDim, scale: 1 / Math.sqrt(headDim) },
    positions: {
      kind: "rope",
      // The base is not in the config. see: HF GPTJ create_sinusoidal_positions
      inverseFrequencies: inverseFrequencies(rotaryDim, 10000, { type: "default" }),
      interleaved: true,
    },
    window: undefined,
  };
}
