import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./child.ts";
import { checkDisk, gaussian, Noise, uniform } from "./noise.ts";
import type { PeerOptions } from "./result.ts";
import { type Config, configOf, type Shape, type Tensor, tensorsOf } from "./shapes.ts";

/**
 * Models in llama.cpp's file format with random weights of a published shape, every matrix in one number format (what
 * `llama-quantize --pure` makes). see: ggml docs/gguf.md
 */
export const FORMATS = {
  f16: { type: 1, fileType: 1, values: 1, bytes: 2 },
  q4_0: { type: 2, fileType: 2, values: 32, bytes: 18 },
  q8_0: { type: 8, fileType: 7, values: 32, bytes: 34 },
} as const;
export type Format = keyof typeof FORMATS;

/** How llama.cpp calls the parts of Hugging Face's names, tried in this order. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^(model|transformer)\.(layers|blocks|h)\./, "blk."],
  [/^(model\.embed_tokens|transformer\.wte)\./, "token_embd."],
  [/^(model\.norm|transformer\.norm_f|transformer\.ln_f)\./, "output_norm."],
  [/^lm_head\./, "output."],
  [/\.(input_layernorm|norm_1|ln_1)\./, ".attn_norm."],
  [/\.(post_attention_layernorm|norm_2)\./, ".ffn_norm."],
  [/\.(?:self_)?attn\.([qkv])_proj\./, ".attn_$1."],
  [/\.(self_)?attn\.(o|out)_proj\./, ".attn_output."],
  [/\.attn\.Wqkv\./, ".attn_qkv."],
  [/\.mlp\.gate_proj\./, ".ffn_gate."],
  [/\.(mlp|ffn)\.(up_proj|fc_in)\./, ".ffn_up."],
  [/\.(mlp|ffn)\.(down_proj|fc_out)\./, ".ffn_down."],
];

const ALIGNMENT = 32;
const F32 = { type: 0, values: 1, bytes: 4 } as const;
/** A prime: the blocks of one supply of noise. */
const BLOCKS = 262139;

type Value =
  | string
  | { u32: number }
  | { f32: number }
  | { strings: string[] }
  | { f32s: number[] }
  | { i32s: number[] };

/** The files that a peer is to measure: the given one, or one of the shape in each of its formats; removed with `using`. */
export function* ggufs(
  { shape, model, layers }: PeerOptions,
  formats: readonly Format[],
): Generator<Disposable & { readonly format: string; path(): string }> {
  if (model) yield { format: model.format, path: () => model.path, [Symbol.dispose]: () => {} };
  else for (const format of formats) yield { format, ...temporaryGguf(shape as Shape, format, layers) };
}

/** A file of a shape that is written when it is first asked for, and removed with `using`. */
function temporaryGguf(shape: Shape, format: Format, layers?: number): Disposable & { path(): string } {
  const folder = temporaryFolder();
  const file = join(folder.path, `${shape}-${format}.gguf`);
  let written = false;
  return {
    path() {
      if (!written) writeGguf(file, shape, format, layers);
      written = true;
      return file;
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

export function writeGguf(path: string, shape: Shape, format: Format, layers?: number): void {
  const config = configOf(shape, layers);
  let end = 0;
  const tensors = tensorsOf(config)
    .filter(({ stored }) => !stored)
    .map((tensor) => {
      const { type, values, bytes } = tensor.shape.length > 1 ? FORMATS[format] : F32;
      const length = (tensor.shape.reduce((a, b) => a * b) / values) * bytes;
      const offset = end;
      end += padded(length);
      return { ...tensor, name: nameOf(tensor), type, length, offset };
    });
  checkDisk(join(path, ".."), end);

  const header = new Bytes();
  const metadata = Object.entries({ ...architecture(config), ...tokenizer(config.vocab_size as number) });
  metadata.push(["general.name", `${shape}, random weights`], ["general.file_type", u32(FORMATS[format].fileType)]);
  metadata.push(["general.quantization_version", u32(2)]);
  header.raw("GGUF").u32(3).u64(tensors.length).u64(metadata.length);
  for (const [key, value] of metadata) header.string(key).value(value);
  for (const { name, shape, type, offset } of tensors) {
    header.string(name).u32(shape.length);
    for (const extent of shape.toReversed()) header.u64(extent);
    header.u32(type).u64(offset);
  }

  const random = uniform(1);
  const { bytes } = FORMATS[format];
  const noise = new Noise(blocks(format, random), bytes, random);
  const ones = new Noise(new Uint8Array(new Float32Array(4096).fill(1).buffer), 4, random);
  const zeros = new Noise(new Uint8Array(4096), 4, random);
  const small = new Noise(new Uint8Array(new Float32Array(4099).fill(0.01).buffer), 4, random);
  const fd = openSync(path, "w");
  const pad = (length: number) => writeSync(fd, new Uint8Array(padded(length) - length));
  const head = header.done();
  writeSync(fd, head);
  pad(head.length);
  for (const { shape, fill, length } of tensors) {
    const source = fill === "ones" ? ones : fill === "zeros" ? zeros : shape.length > 1 ? noise : small;
    source.write(fd, length);
    pad(length);
  }
  closeSync(fd);
}

function nameOf({ name }: Tensor): string {
  return NAMES.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), name);
}

function padded(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

const u32 = (value: unknown): Value => ({ u32: value as number });
const f32 = (value: unknown): Value => ({ f32: value as number });

function architecture(config: Config): Record<string, Value> {
  const arch = config.model_type;
  const keys = (values: Record<string, Value>) =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [`${arch}.${key}`, value]));
  switch (arch) {
    case "llama":
      return {
        "general.architecture": arch,
        ...keys({
          context_length: u32(config.max_position_embeddings),
          embedding_length: u32(config.hidden_size),
          block_count: u32(config.num_hidden_layers),
          feed_forward_length: u32(config.intermediate_size),
          "attention.head_count": u32(config.num_attention_heads),
          "attention.head_count_kv": u32(config.num_key_value_heads ?? config.num_attention_heads),
          "attention.layer_norm_rms_epsilon": f32(config.rms_norm_eps),
          "rope.dimension_count": u32((config.hidden_size as number) / (config.num_attention_heads as number)),
          "rope.freq_base": f32(config.rope_theta ?? 10000),
        }),
      };
    case "mpt": {
      const attention = config.attn_config as Record<string, number | null>;
      return {
        "general.architecture": arch,
        ...keys({
          context_length: u32(config.max_seq_len),
          embedding_length: u32(config.d_model),
          block_count: u32(config.n_layers),
          feed_forward_length: u32((config.d_model as number) * (config.expansion_ratio as number)),
          "attention.head_count": u32(config.n_heads),
          "attention.layer_norm_epsilon": f32(1e-5),
          "attention.max_alibi_bias": f32(attention.alibi_bias_max),
          ...(attention.clip_qkv ? { "attention.clamp_kqv": f32(attention.clip_qkv) } : {}),
        }),
      };
    }
    case "gptj":
      return {
        "general.architecture": arch,
        ...keys({
          context_length: u32(config.n_positions),
          embedding_length: u32(config.n_embd),
          block_count: u32(config.n_layer),
          feed_forward_length: u32(4 * (config.n_embd as number)),
          "attention.head_count": u32(config.n_head),
          "attention.layer_norm_epsilon": f32(config.layer_norm_epsilon),
          "rope.dimension_count": u32(config.rotary_dim),
        }),
      };
  }
}

/**
 * A vocabulary in which " a" to " z" are one token each; the rest is bytes, and words that never occur. The bytes count
 * as words: what random weights answer is UTF-8 all the same.
 */
function tokenizer(vocabSize: number): Record<string, Value> {
  const [normal, unknown, control] = [1, 2, 3];
  const tokens = ["<unk>", "<s>", "</s>"];
  for (let i = 0; i < 256; i++) tokens.push(`<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
  const letters = [..."abcdefghijklmnopqrstuvwxyz"];
  tokens.push("▁", ...letters, ...letters.map((letter) => `▁${letter}`));
  for (let i = 0; tokens.length < vocabSize; i++) tokens.push(`▁word${i}`);
  const types = tokens.map((_, i) => (i === 0 ? unknown : i < 3 ? control : normal) as number);
  return {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": { strings: tokens },
    "tokenizer.ggml.scores": { f32s: tokens.map((_, i) => -i) },
    "tokenizer.ggml.token_type": { i32s: types },
    "tokenizer.ggml.bos_token_id": u32(1),
    "tokenizer.ggml.eos_token_id": u32(2),
    "tokenizer.ggml.unknown_token_id": u32(0),
  };
}

/** Weights with a standard deviation of about 0.02. Quantised blocks are an f16 scale and 32 integers. see: ggml-quants.h */
function blocks(format: Format, random: () => number): Uint8Array {
  const next = gaussian(random);
  const integer = (deviation: number, most: number) =>
    Math.max(-most, Math.min(most - 1, Math.round(deviation * next())));
  const { bytes } = FORMATS[format];
  const out = new DataView(new ArrayBuffer(BLOCKS * bytes));
  for (let at = 0; at < out.byteLength; at += bytes) {
    if (format === "f16") out.setFloat16(at, 0.02 * next(), true);
    else if (format === "q8_0") {
      out.setFloat16(at, 0.0005 * (1 + 0.1 * random()), true);
      for (let i = 2; i < bytes; i++) out.setInt8(at + i, integer(40, 128));
    } else {
      out.setFloat16(at, 0.007 * (1 + 0.1 * random()), true);
      for (let i = 2; i < bytes; i++) out.setUint8(at + i, (integer(3, 8) + 8) | ((integer(3, 8) + 8) << 4));
    }
  }
  return new Uint8Array(out.buffer);
}

/** A growing run of little-endian bytes. */
class Bytes {
  readonly #parts: Buffer[] = [];

  raw(text: string): this {
    this.#parts.push(Buffer.from(text, "utf8"));
    return this;
  }

  u32(value: number): this {
    return this.#view(4, (view) => view.setUint32(0, value, true));
  }

  u64(value: number): this {
    return this.#view(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  string(text: string): this {
    return this.u64(Buffer.byteLength(text)).raw(text);
  }

  value(value: Value): this {
    if (typeof value === "string") return this.u32(8).string(value);
    if ("u32" in value) return this.u32(4).u32(value.u32);
    if ("f32" in value) return this.u32(6).#array(Float32Array.of(value.f32));
    if ("f32s" in value) return this.u32(9).u32(6).u64(value.f32s.length).#array(Float32Array.from(value.f32s));
    if ("i32s" in value) return this.u32(9).u32(5).u64(value.i32s.length).#array(Int32Array.from(value.i32s));
    this.u32(9).u32(8).u64(value.strings.length);
    for (const text of value.strings) this.string(text);
    return this;
  }

  done(): Uint8Array {
    return Buffer.concat(this.#parts);
  }

  #array(values: Float32Array | Int32Array): this {
    this.#parts.push(Buffer.from(values.buffer));
    return this;
  }

  #view(size: number, write: (view: DataView) => void): this {
    const view = new DataView(new ArrayBuffer(size));
    write(view);
    this.#parts.push(Buffer.from(view.buffer));
    return this;
  }
}
