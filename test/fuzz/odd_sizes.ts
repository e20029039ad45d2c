/** Consistent models of sizes that do not occur in practice: one head, one token, three dimensions. */
import fc from "fast-check";
import { LambentError } from "../../src/base/errors.ts";
import { programOf } from "../../src/models/index.ts";
import type { Program } from "../../src/models/program.ts";
import { POLICIES } from "../../src/plan/policy.ts";
import type { Json } from "../tokenizer/files.ts";
import { CONFIG, type Draft, type DraftTensor, SHARDED, TINY } from "./draft.ts";
import { kind } from "./kinds.ts";

const size = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(16, 31, 33, 64, 65));
const sizes = fc.record({
  heads: fc.constantFrom(1, 2, 3, 4, 7, 8),
  kvHeads: fc.constantFrom(1, 2, 4, 8),
  headDim: fc.constantFrom(2, 4, 6, 10, 16, 34),
  inner: size,
  vocab: size,
  layers: fc.constantFrom(1, 1, 2, 3),
  trained: fc.constantFrom(1, 2, 5, 64, 2 ** 20),
  rotary: fc.constantFrom(2, 4, 6),
});
const policy = fc.record({
  attention: fc.constantFrom(...POLICIES),
  nGlobal: fc.constantFrom(0, 1, 3, 40),
  nLocal: fc.constantFrom(1, 2, 5, 64),
  chunkSize: fc.constantFrom(1, 2, 17, 128),
  maxSessions: fc.constantFrom(1, 2),
  maxPositions: fc.constantFrom(24, 100),
});
const DTYPES = ["F32", "BF16", "F16"] as const;

/** Small numbers, as many as any of these tensors has, in each format. */
const NUMBERS = Float32Array.from({ length: 1 << 18 }, (_, i) => Math.sin(i * i) / 4);
const STORED = {
  F32: new Uint8Array(NUMBERS.buffer),
  BF16: new Uint8Array(Uint16Array.from(new Uint32Array(NUMBERS.buffer), (bits) => bits >>> 16).buffer),
  F16: new Uint8Array(Float16Array.from(NUMBERS).buffer),
};

function tensorOf(name: string, shape: readonly number[], dtype: keyof typeof STORED): DraftTensor {
  const count = shape.reduce((product, n) => product * n, 1);
  return { name, shape, dtype, bytes: STORED[dtype].subarray(0, count * (dtype === "F32" ? 4 : 2)) };
}

/** The families' names for each size. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  hidden: ["hidden_size", "d_model", "n_embd"],
  heads: ["num_attention_heads", "n_heads", "n_head"],
  kvHeads: ["num_key_value_heads"],
  headDim: ["head_dim"],
  inner: ["intermediate_size", "n_inner"],
  vocab: ["vocab_size"],
  layers: ["num_hidden_layers", "n_layers", "n_layer"],
  trained: ["max_position_embeddings", "max_seq_len", "n_positions"],
  rotary: ["rotary_dim"],
};

function resize(config: Json, sizes: Readonly<Record<string, number>>): void {
  for (const [size, names] of Object.entries(NAMES))
    for (const name of names) if (name in config) config[name] = sizes[size];
}

function programOrNone(config: Json): Program | undefined {
  try {
    return programOf(config, CONFIG);
  } catch (error) {
    if (error instanceof LambentError) return undefined;
    throw error;
  }
}

/** A config of odd sizes with weights that fit, under some policy. */
export const oddSizes = kind(
  TINY.filter((base) => !SHARDED.includes(base)),
  fc.tuple(sizes, policy, fc.constantFrom(...DTYPES), fc.constantFrom(...DTYPES)),
  (draft: Draft, [drawn, options, matrix, vector]) => {
    const config = draft.json(CONFIG);
    resize(config, { ...drawn, hidden: drawn.heads * drawn.headDim });
    Object.assign(draft.options, options);
    // Its tokenizer may know more tokens than the model: ids alone will do.
    draft.edit((files) => void files.delete("tokenizer.json"));
    const program = programOrNone(config);
    if (!program) return;
    const stored = new Map([...program.weights.values()].map(({ tensors, stored }) => [tensors[0] as string, stored]));
    const tensors = [...stored].map(([name, shape]) => tensorOf(name, shape, shape.length === 2 ? matrix : vector));
    draft.tensors().splice(0, Infinity, ...tensors);
  },
);
