import { contiguous } from "../base/rows.ts";
import { integer, listOf, number, only, optionalInteger, readConfig } from "../formats/config.ts";
import { isRecord } from "../formats/json.ts";
import { HIDDEN, LAST } from "./buffers.ts";
import { decoder } from "./decoder.ts";
import { attentionShape, GATED_PARTS, gatedKeys, rotary } from "./llama.ts";
import { MAX, type Operation, type Program, Weights } from "./program.ts";
import { partialRotaryFactor, ropeKeysWith } from "./rope_config.ts";

const schema = {
  ...gatedKeys,
  ...ropeKeysWith({ partial_rotary_factor: partialRotaryFactor }),
  rms_norm_eps: number(1e-5),
  original_max_position_embeddings: integer(MAX.positions, 4096),
  sliding_window: optionalInteger(MAX.positions),
  attention_bias: only(false),
  mlp_bias: only(false),
  full_attn_mod: only(1),
  layer_types: listOf("full_attention", "sliding_attention"),
};

/**
 * Phi-3, Phi-3.5, Phi-4-mini: LLaMA with one matrix for query, key and value and one for gate and up, RoPE on a part of
 * each head, longrope. see: HF Phi3ForCausalLM, Phi3Config
 */
export function phi3(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(withLongrope(raw), name, schema, GATED_PARTS);
  const hidden = config.hidden_size;
  const inner = config.intermediate_size;
  const shape = attentionShape(name, config);
  const { heads, kvHeads, headDim } = shape;
  const positions = rotary(name, config, headDim);
  const weights = new Weights();
  const norm = (y: string, x: string, tensor: string) => weights.rmsNorm(y, x, tensor, hidden, config.rms_norm_eps);
  const part = (y: string, tensor: string, rows: number, first: number, count: number): Operation => {
    const whole = `${tensor}.weight`;
    const weight = weights.rows(`${whole}[${y}]`, [whole], [rows, hidden], contiguous(first, count), [count, hidden]);
    return { op: "matmul", y, x: "normed", weight };
  };
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const table = weights.table("model.embed_tokens.weight", config.vocab_size, hidden, config.tie_word_embeddings);
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i): Operation[] => {
    const layer = `model.layers.${i}`;
    const qkv = (y: string, first: number, count: number) =>
      part(y, `${layer}.self_attn.qkv_proj`, queries + 2 * keys, first, count);
    const gateUp = (y: string, first: number) => part(y, `${layer}.mlp.gate_up_proj`, 2 * inner, first, inner);
    return [
      norm("normed", HIDDEN, `${layer}.input_layernorm`),
      ...[qkv("q", 0, queries), qkv("k", queries, keys), qkv("v", queries + keys, keys)],
      { op: "attention", y: "attended", q: "q", k: "k", v: "v", shape, positions, window: config.sliding_window },
      weights.update("attended", `${layer}.self_attn.o_proj`, hidden, queries, false),
      norm("normed", HIDDEN, `${layer}.post_attention_layernorm`),
      ...[gateUp("gate", 0), gateUp("up", inner)],
      { op: "siluMul", y: "gate", a: "gate", b: "up" },
      weights.update("gate", `${layer}.mlp.down_proj`, hidden, inner, false),
    ];
  });
  return decoder({
    ...{ modelType: "phi3", config, trainedLength: config.max_position_embeddings, hidden, weights, table, layers },
    buffers: { q: queries, k: keys, v: keys, attended: queries, gate: inner, up: inner },
    finalNorm: norm(LAST, LAST, "model.norm"),
    headBias: false,
  });
}

/** Older files call longrope su, or yarn, which it is not. see: HF Phi3Config */
function withLongrope(raw: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const renamed = (value: unknown) => {
    if (!isRecord(value)) return value;
    const { type, rope_type: ropeType = type, ...rest } = value;
    return { ...rest, rope_type: ropeType === "su" || ropeType === "yarn" ? "longrope" : ropeType };
  };
  return { ...raw, rope_scaling: renamed(raw.rope_scaling), rope_parameters: renamed(raw.rope_parameters) };
}
