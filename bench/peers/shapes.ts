import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DType } from "../../src/base/dtype.ts";

/** Published models that are measured by their shapes alone: where their configs are from, and their number formats. */
export const SHAPES = {
  "tinyllama-1.1b": { hub: "TinyLlama/TinyLlama-1.1B-Chat-v1.0", dtype: "bf16" },
  "llama-7b": { hub: "huggyllama/llama-7b", dtype: "f16" },
  "llama-2-7b": { hub: "meta-llama/Llama-2-7b-hf", dtype: "f16" },
  "mpt-7b": { hub: "mosaicml/mpt-7b", dtype: "bf16" },
  "mpt-7b-storywriter": { hub: "mosaicml/mpt-7b-storywriter", dtype: "bf16" },
  "gpt-j-6b": { hub: "EleutherAI/gpt-j-6b", dtype: "f16" },
} as const satisfies Record<string, { hub: string; dtype: DType }>;
export type Shape = keyof typeof SHAPES;

export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly fill: "noise" | "ones" | "zeros";
  /** What safetensors calls the number format, where it is not the checkpoint's. */
  readonly stored?: "F32" | "BOOL";
}

export type Config = Readonly<Record<string, unknown>> & { readonly model_type: "llama" | "mpt" | "gptj" };

const CONFIGS = join(import.meta.dirname, "../../test/golden/fixtures/real-configs.json");
const LAYER_KEYS = { llama: "num_hidden_layers", mpt: "n_layers", gptj: "n_layer" } as const;

/** The published config of a shape, with another number of layers if that is given. */
export function configOf(shape: Shape, layers?: number): Config {
  const config = JSON.parse(readFileSync(CONFIGS, "utf8"))[SHAPES[shape].hub] as Config;
  return layers === undefined ? config : { ...config, [LAYER_KEYS[config.model_type]]: layers };
}

/** The tensors of a checkpoint with this config, in the order in which transformers saves them. */
export function tensorsOf(config: Config): Tensor[] {
  const size = (key: string) => config[key] as number;
  const each = (tensors: (i: number) => Tensor[]) =>
    Array.from({ length: size(LAYER_KEYS[config.model_type]) }, (_, i) => tensors(i)).flat();
  const matrix = (name: string, rows: number, columns: number): Tensor => ({
    ...{ name: `${name}.weight`, shape: [rows, columns], fill: "noise" },
  });
  const bias = (name: string, rows: number): Tensor => ({ name: `${name}.bias`, shape: [rows], fill: "noise" });
  const norm = (name: string, width: number): Tensor => ({ name: `${name}.weight`, shape: [width], fill: "ones" });
  const zeros = (name: string, width: number): Tensor => ({ name: `${name}.bias`, shape: [width], fill: "zeros" });
  switch (config.model_type) {
    case "llama": {
      const [d, f, vocab, heads] = ["hidden_size", "intermediate_size", "vocab_size", "num_attention_heads"].map(size);
      const head = d! / heads!;
      const kv = (size("num_key_value_heads") ?? heads!) * head;
      // Files from before transformers 4.32 keep the angles' frequencies too; readers make their own.
      const frequencies = (layer: string): Tensor[] =>
        /^4\.(2|31)/.test(config.transformers_version as string)
          ? [{ name: `${layer}.self_attn.rotary_emb.inv_freq`, shape: [head / 2], fill: "zeros", stored: "F32" }]
          : [];
      return [
        matrix("model.embed_tokens", vocab!, d!),
        ...each((i) => {
          const layer = `model.layers.${i}`;
          return [
            matrix(`${layer}.self_attn.q_proj`, d!, d!),
            matrix(`${layer}.self_attn.k_proj`, kv, d!),
            matrix(`${layer}.self_attn.v_proj`, kv, d!),
            matrix(`${layer}.self_attn.o_proj`, d!, d!),
            ...frequencies(layer),
            matrix(`${layer}.mlp.gate_proj`, f!, d!),
            matrix(`${layer}.mlp.up_proj`, f!, d!),
            matrix(`${layer}.mlp.down_proj`, d!, f!),
            norm(`${layer}.input_layernorm`, d!),
            norm(`${layer}.post_attention_layernorm`, d!),
          ];
        }),
        norm("model.norm", d!),
        matrix("lm_head", vocab!, d!),
      ];
    }
    case "mpt": {
      const d = size("d_model");
      const f = d * size("expansion_ratio");
      return [
        matrix("transformer.wte", size("vocab_size"), d),
        ...each((i) => {
          const block = `transformer.blocks.${i}`;
          return [
            norm(`${block}.norm_1`, d),
            matrix(`${block}.attn.Wqkv`, 3 * d, d),
            matrix(`${block}.attn.out_proj`, d, d),
            norm(`${block}.norm_2`, d),
            matrix(`${block}.ffn.up_proj`, f, d),
            matrix(`${block}.ffn.down_proj`, d, f),
          ];
        }),
        norm("transformer.norm_f", d),
      ];
    }
    case "gptj": {
      const [d, n, vocab] = ["n_embd", "n_positions", "vocab_size"].map(size);
      return [
        matrix("transformer.wte", vocab!, d!),
        ...each((i) => {
          const block = `transformer.h.${i}`;
          return [
            norm(`${block}.ln_1`, d!),
            zeros(`${block}.ln_1`, d!),
            // The causal mask, which readers make themselves.
            { name: `${block}.attn.bias`, shape: [1, 1, n!, n!], fill: "zeros", stored: "BOOL" },
            { name: `${block}.attn.masked_bias`, shape: [], fill: "zeros", stored: "F32" },
            ...["k", "v", "q", "out"].map((part) => matrix(`${block}.attn.${part}_proj`, d!, d!)),
            matrix(`${block}.mlp.fc_in`, 4 * d!, d!),
            bias(`${block}.mlp.fc_in`, 4 * d!),
            matrix(`${block}.mlp.fc_out`, d!, 4 * d!),
            bias(`${block}.mlp.fc_out`, d!),
          ];
        }),
        norm("transformer.ln_f", d!),
        zeros("transformer.ln_f", d!),
        matrix("lm_head", vocab!, d!),
        bias("lm_head", vocab!),
      ];
    }
  }
}
