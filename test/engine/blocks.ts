/** Models whose matrices are in ggml's blocks, as a GGUF has them. */
import type { ByteSource } from "../../src/base/source.ts";
import type { Checkpoint, StoredTensor } from "../../src/formats/checkpoint.ts";
import { memorySource } from "../../src/formats/safetensors.ts";
import { Dice } from "../kernels/harness.ts";
import { BLOCKS, type BlockType, numbersOf, randomBlocks, worth } from "../reference/ggml.ts";
import { type Tensor, VOCAB } from "./tiny.ts";

export const CONFIG = {
  ...{ model_type: "llama", hidden_size: 256, intermediate_size: 512, num_hidden_layers: 2, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, head_dim: 64, hidden_act: "silu", max_position_embeddings: 64, rms_norm_eps: 1e-6 },
  ...{ rope_theta: 10000, tie_word_embeddings: true, vocab_size: VOCAB, bos_token_id: 1, eos_token_id: 2 },
};

/** Shapes of the model's tensors. */
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "model.embed_tokens.weight": [VOCAB, 256],
  ...Object.fromEntries(
    [0, 1].flatMap((layer) => {
      const matrices = {
        ...{ "self_attn.q_proj": [256, 256], "self_attn.k_proj": [128, 256], "self_attn.v_proj": [128, 256] },
        ...{ "self_attn.o_proj": [256, 256], "mlp.gate_proj": [512, 256], "mlp.up_proj": [512, 256] },
        ...{ "mlp.down_proj": [256, 512], input_layernorm: [256], post_attention_layernorm: [256] },
      };
      return Object.entries(matrices).map(([name, shape]) => [`model.layers.${layer}.${name}.weight`, shape]);
    }),
  ),
  "model.norm.weight": [256],
};

/** A tensor, and what is added to one in memory where it is stored. */
export type BlockTensor = Tensor & Pick<StoredTensor, "rows" | "added">;

/** The tensors of a model whose matrices have these types in turn. */
export function blockTensors(types: readonly BlockType[], seed = 1): Map<string, BlockTensor> {
  const dice = new Dice(seed);
  let matrices = 0;
  return new Map(
    Object.entries(SHAPES).map(([name, shape]): [string, BlockTensor] => {
      const [n = 0, k] = shape;
      if (k === undefined) {
        const numbers = dice.floats(n).map((value) => 1 + value / 4);
        return [name, { dtype: "F32", shape, bytes: new Uint8Array(numbers.buffer) }];
      }
      const dtype = types[matrices++ % types.length] as BlockType;
      return [name, { dtype, shape, bytes: smallBlocks(dice, (n * k) / BLOCKS[dtype].columns, dtype) }];
    }),
  );
}

/** Random blocks of numbers of a model's size. */
export function smallBlocks(dice: Dice, count: number, type: BlockType): Uint8Array {
  const bytes = randomBlocks((below) => dice.below(below), count, type);
  const { bytes: size, halves, columns } = BLOCKS[type];
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length; at += size) {
    for (const half of halves) view.setFloat16(at + half, dice.float(columns === 32 ? 2 ** -8 : 2 ** -12), true);
    if (type === "MXFP4") bytes[at] = 120;
  }
  return bytes;
}

/** The same tensors with their numbers in F32. */
export function floatsOf(tensors: ReadonlyMap<string, BlockTensor>): Map<string, BlockTensor> {
  return new Map(
    [...tensors].map(([name, tensor]): [string, BlockTensor] => {
      if (!(tensor.dtype in BLOCKS)) return [name, tensor];
      const values = Float32Array.from(numbersOf(tensor.bytes, tensor.dtype as BlockType), worth);
      return [name, { ...tensor, dtype: "F32", bytes: new Uint8Array(values.buffer) }];
    }),
  );
}

/** One file of these tensors, as a container of ggml's types would give it. `source`: another way to its bytes. */
export function blockCheckpoint(
  tensors: ReadonlyMap<string, BlockTensor>,
  wrap: (source: ByteSource) => ByteSource = (source) => source,
): Checkpoint {
  const source = wrap(memorySource(Buffer.concat([...tensors.values()].map(({ bytes }) => bytes)), "blocks.gguf"));
  let begin = 0;
  const stored = [...tensors].map(([name, { bytes, ...tensor }]): [string, StoredTensor] => {
    const end = begin + bytes.length;
    const entry = { name, ...tensor, begin, end, source };
    begin = end;
    return [name, entry];
  });
  return {
    ...{
      name: "blocks",
      configName: "blocks/config.json",
      config: CONFIG,
      generationConfig: {},
      tensors: new Map(stored),
      version: undefined,
    },
    bytes: async () => undefined,
    close: async () => {},
  };
}
