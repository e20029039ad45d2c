import { contiguous, type RowRange } from "../base/rows.ts";

/** What a GGUF calls the tensors of an architecture, and what it has changed in them. */
export interface GgufNames {
  /** Hugging Face's names by GGUF's; `N`: the number of a layer. Suffixes (".weight", ".bias") stay. */
  readonly names: Readonly<Record<string, string>>;
  /** Whether the rows of each query and key head are in pairs of neighbours. */
  readonly permuted?: boolean;
  /** Whether the rows of attn_qkv are all queries, all keys, all values, where Hugging Face has head after head. */
  readonly regrouped?: boolean;
  /** Whether norms are stored as 1 + w. */
  readonly shifted?: boolean;
}

const LAYER = "model.layers.N";
const ends = { token_embd: "model.embed_tokens", output_norm: "model.norm", output: "lm_head" };
const attention = {
  ...{ "blk.N.attn_q": `${LAYER}.self_attn.q_proj`, "blk.N.attn_k": `${LAYER}.self_attn.k_proj` },
  ...{ "blk.N.attn_v": `${LAYER}.self_attn.v_proj`, "blk.N.attn_output": `${LAYER}.self_attn.o_proj` },
  ...{ "blk.N.attn_q_norm": `${LAYER}.self_attn.q_norm`, "blk.N.attn_k_norm": `${LAYER}.self_attn.k_norm` },
};
const gated = {
  ...{ "blk.N.ffn_gate": `${LAYER}.mlp.gate_proj`, "blk.N.ffn_up": `${LAYER}.mlp.up_proj` },
  "blk.N.ffn_down": `${LAYER}.mlp.down_proj`,
};
const preNorms = {
  "blk.N.attn_norm": `${LAYER}.input_layernorm`,
  "blk.N.ffn_norm": `${LAYER}.post_attention_layernorm`,
};
const postNorms = {
  "blk.N.post_attention_norm": `${LAYER}.post_attention_layernorm`,
  "blk.N.post_ffw_norm": `${LAYER}.post_feedforward_layernorm`,
};

/** LLaMA's. */
export const LLAMA_NAMES: GgufNames = { names: { ...ends, ...attention, ...gated, ...preNorms }, permuted: true };
/** Those of Qwen and StableLM: LLaMA's, in Hugging Face's order of rows. */
export const QWEN_NAMES: GgufNames = { names: LLAMA_NAMES.names };
/** Gemma's, from the second on. */
export const GEMMA_NAMES: GgufNames = {
  names: {
    ...{ ...ends, ...attention, ...gated, ...postNorms },
    "blk.N.attn_norm": `${LAYER}.input_layernorm`,
    "blk.N.ffn_norm": `${LAYER}.pre_feedforward_layernorm`,
  },
  shifted: true,
};
/** OLMo 2's: norms behind attention and MLP only. */
export const OLMO2_NAMES: GgufNames = { names: { ...ends, ...attention, ...gated, ...postNorms } };
/** Phi-3's, whose queries, keys and values are one matrix, as are gate and up. */
export const PHI3_NAMES: GgufNames = {
  names: {
    ...{ ...ends, ...preNorms, "blk.N.attn_output": attention["blk.N.attn_output"] },
    ...{ "blk.N.attn_qkv": `${LAYER}.self_attn.qkv_proj`, "blk.N.ffn_up": `${LAYER}.mlp.gate_up_proj` },
    "blk.N.ffn_down": gated["blk.N.ffn_down"],
  },
};
const NEOX = "gpt_neox.layers.N";
/** GPT-NeoX's. */
export const NEOX_NAMES: GgufNames = {
  names: {
    ...{ token_embd: "gpt_neox.embed_in", output_norm: "gpt_neox.final_layer_norm", output: "embed_out" },
    ...{ "blk.N.attn_norm": `${NEOX}.input_layernorm`, "blk.N.ffn_norm": `${NEOX}.post_attention_layernorm` },
    "blk.N.attn_qkv": `${NEOX}.attention.query_key_value`,
    ...{ "blk.N.attn_output": `${NEOX}.attention.dense`, "blk.N.ffn_up": `${NEOX}.mlp.dense_h_to_4h` },
    "blk.N.ffn_down": `${NEOX}.mlp.dense_4h_to_h`,
  },
  regrouped: true,
};
const MPT = "transformer.blocks.N";
/** MPT's. */
export const MPT_NAMES: GgufNames = {
  names: {
    ...{ token_embd: "transformer.wte", output_norm: "transformer.norm_f", output: "lm_head" },
    ...{ "blk.N.attn_norm": `${MPT}.norm_1`, "blk.N.ffn_norm": `${MPT}.norm_2` },
    ...{ "blk.N.attn_qkv": `${MPT}.attn.Wqkv`, "blk.N.attn_output": `${MPT}.attn.out_proj` },
    ...{ "blk.N.ffn_up": `${MPT}.ffn.up_proj`, "blk.N.ffn_down": `${MPT}.ffn.down_proj` },
  },
};

/** A tensor's name as GGUF has it, in parts: that of the module, with `N`, the layer, and what follows (".weight"). */
function partsOf(name: string): { module: string; layer: string; suffix: string } {
  const [, before = "", layer = "", module = "", suffix = ""] =
    name.match(/^(?:(blk\.)(\d+)\.)?(.*?)(\.[^.]*)?$/s) ?? [];
  return { module: before ? `blk.N.${module}` : module, layer, suffix };
}

/** Hugging Face's name of a tensor; undefined for one that it does not have. */
export function hfName({ names }: GgufNames, name: string): string | undefined {
  const { module, layer, suffix } = partsOf(name);
  const found = Object.hasOwn(names, module) ? names[module] : undefined;
  return found && found.replace("N", layer) + suffix;
}

/** The heads of a model, as far as the order of rows depends on them. */
export interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
}

/** Where the rows of a tensor with `rows` of them are; see StoredTensor. Undefined also where they are no whole heads. */
export function rowsOf(layout: GgufNames, name: string, rows: number, { heads, kvHeads }: Heads) {
  const { module } = partsOf(name);
  if (layout.permuted && module === "blk.N.attn_q") return pairs(heads, rows);
  if (layout.permuted && module === "blk.N.attn_k") return pairs(kvHeads, rows);
  return layout.regrouped && module === "blk.N.attn_qkv" ? groups(heads, rows) : undefined;
}

/** Halves of each head that are stored as pairs of neighbours: row j at 2j, row j + headDim / 2 at 2j + 1. */
function pairs(heads: number, rows: number): RowRange[] | undefined {
  const half = rows / heads / 2;
  if (!Number.isInteger(half) || half < 1) return undefined;
  return Array.from({ length: 2 * heads }, (_, i) => {
    const head = i >> 1;
    return { first: 2 * half * head + (i % 2), count: half, step: 2 };
  });
}

/** Query, key and value of head after head that are stored as all queries, all keys, all values. */
function groups(heads: number, rows: number): RowRange[] | undefined {
  const headDim = rows / heads / 3;
  if (!Number.isInteger(headDim) || headDim < 1) return undefined;
  return Array.from({ length: 3 * heads }, (_, i) => {
    const [head, part] = [Math.floor(i / 3), i % 3];
    return contiguous((part * heads + head) * headDim, headDim);
  }).flat();
}

/** What the file has added to the numbers of a tensor; see StoredTensor. */
export function addedTo({ shifted }: GgufNames, name: string): number | undefined {
  return shifted && name.endsWith("norm.weight") ? 1 : undefined;
}
