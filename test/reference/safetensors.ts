/** A naive reader of safetensors files for tests: everything becomes Float64Array. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Tensor {
  shape: number[];
  /** Row-major. */
  data: Float64Array;
}
export type Tensors = Map<string, Tensor>;

/** A checkpoint's tensors: model.safetensors, or the shards that model.safetensors.index.json names. */
export function readTensors(dir: string): Tensors {
  const index = join(dir, "model.safetensors.index.json");
  if (!existsSync(index)) return readSafetensors(join(dir, "model.safetensors"));
  const shards = new Set<string>(Object.values(JSON.parse(readFileSync(index, "utf8")).weight_map));
  return new Map([...shards].flatMap((shard) => [...readSafetensors(join(dir, shard))]));
}

/** One file: u64 header length, JSON header, bytes. see: https://github.com/huggingface/safetensors#format */
export function readSafetensors(path: string): Tensors {
  const file = readFileSync(path);
  const bytes = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const start = 8 + Number(bytes.getBigUint64(0, true));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    new TextDecoder().decode(file.subarray(8, start)),
  );
  const tensors: Tensors = new Map();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const data = new Float64Array(shape.reduce((a, b) => a * b, 1));
    const width = (data_offsets[1] - data_offsets[0]) / data.length;
    for (let i = 0; i < data.length; i++) data[i] = readNumber(bytes, start + data_offsets[0] + i * width, dtype);
    tensors.set(name, { shape, data });
  }
  return tensors;
}

const word = new DataView(new ArrayBuffer(4));

function readNumber(bytes: DataView, at: number, dtype: string): number {
  if (dtype === "F32") return bytes.getFloat32(at, true);
  if (dtype === "I32") return bytes.getInt32(at, true);
  if (dtype === "I64") return Number(bytes.getBigInt64(at, true));
  const bits = bytes.getUint16(at, true);
  if (dtype === "BF16") {
    word.setUint32(0, bits * 65536); // the upper half of a float32
    return word.getFloat32(0);
  }
  if (dtype !== "F16") throw new Error(`dtype: expected F32, BF16, F16, I32 or I64, found ${dtype}`);
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24; // zero and subnormals
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
