import {
  absent,
  boolean,
  divides,
  integer,
  noEffect,
  number,
  only,
  optionalInteger,
  readConfig,
} from "../formats/config.ts";
import { inverseFrequencies } from "./positions.ts";
import { MAX, type Operation, type Program, Weights } from "./program.ts";

/** GPT-J: attention and MLP side by side on one LayerNorm, rotary pairs of neighbours. see: HF GPTJForCausalLM */
export function gptj(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(raw, name, {
    vocab_size: integer(MAX.vocab),
    n_embd: integer(MAX.dim),
    n_layer: integer(MAX.layers),
    n_head: integer(MAX.heads),
    n_positions: integer(MAX.positions),
    n_inner: optionalInteger(MAX.dim),
    rotary_dim: integer(MAX.dim, 64),
    activation_function: only("gelu_new"),
    layer_norm_epsilon: number(1e-5),
    tie_word_embeddings: boolean(false),
    rotary: only(true),
    scale_attn_weights: only(true),
    per_layer_config: absent,
    quantization_config: absent,
    layer_types: absent,
    mlp_layer_types: absent,
    ...Object.fromEntries(
      [
        ...["n_ctx", "attn_pdrop", "embd_pdrop", "resid_pdrop", "tie_last_hidden_states"],
        ...[
          "summary_activation",
          "summary_first_dropout",
          "summary_proj_to_labels",
          "summary_type",
          "summary_use_proj",
        ],
      ].map((key) => [key, noEffect]),
    ),
  });
  const hidden = config.n_embd;
  const inner = config.n_inner ?? 4 * hidden;
  const heads = config.n_head;
  divides(`${name}: n_embd`, hidden, "n_head", heads);
  const headDim = integer(MAX.headDim)(hidden / heads, `${name}: n_embd / n_head`);
  const rotaryDim = integer(headDim)(config.rotary_dim, `${name}: rotary_dim`);
  divides(`${name}: rotary_dim`, rotaryDim, "a pair", 2);

  const weights = new Weights();
  const norm = (y: string, x: string, tensor: string) =>
    weights.layerNorm(y, x, tensor, hidden, config.layer_norm_epsilon, true);
  const tied = config.tie_word_embeddings;
  const table = weights.table("transformer.wte.weight", config.vocab_size, hidden, tied);
  const layers = Array.from({ length: config.n_layer }, (_, i): Operation[] => {
    const layer = `transformer.h.${i}`;
    return [
      norm("normed", "hidden", `${layer}.ln_1`),
      weights.linear("q", "normed", `${layer}.attn.q_proj`, hidden, hidden, false),
      weights.linear("k", "normed", `${layer}.attn.k_proj`, hidden, hidden, false),
      weights.linear("v", "normed", `${layer}.attn.v_proj`, hidden, hidden, false),
      { op: "attention", y: "attended", q: "q", k: "k", v: "v" },
      weights.update("attended", `${layer}.attn.out_proj`, hidden, hidden, false),
      weights.linear("inner", "normed", `${layer}.mlp.fc_in`, inner, hidden, true),
      { op: "geluTanh", y: "inner", a: "inner" },
      weights.update("inner", `${layer}.mlp.fc_out`, hidden, inner, true),
    ];
  });
  const head: Operation[] = [
    { op: "gather", y: "last", x: "hidden" },
    norm("last", "last", "transformer.ln_f"),
    weights.head(table, tied, config.vocab_size, hidden, true),
  ];
  return {
    modelType: "gptj",
    vocabSize: config.vocab_size,
    trainedLength: config.n_positions,
    slidingWindow: undefined,
    attention: { heads, kvHeads: heads, headDim, rotaryDim, scale: 1 / Math.sqrt(headDim) },
    positions: {
      kind: "rope",
      // The base is not in the config. see: HF GPTJ create_sinusoidal_positions
      inverseFrequencies: inverseFrequencies(rotaryDim, 10000, { type: "default" }),
      interleaved: true,
    },
    buffers: {
      hidden,
      normed: hidden,
      q: hidden,
      k: hidden,
      v: hidden,
      attended: hidden,
      inner,
      last: hidden,
      logits: config.vocab_size,
    },
    weights: weights.all,
    embed: [{ op: "embed", y: "hidden", table }],
    layers,
    head,
  };
}
