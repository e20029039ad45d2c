import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { DTYPE_BYTES, STORED, STORED_DTYPES, type StoredDType } from "../src/base/dtype.ts";
import { mismatch, OptionError } from "../src/base/errors.ts";
import { Progress } from "../src/cli/progress.ts";
import { checkDisk, encode, gaussian, gigabytes, Noise, uniform } from "./peers/noise.ts";
import { configOf, SHAPES, type Shape, type Tensor, tensorsOf } from "./peers/shapes.ts";

/** A prime: the values of one block of noise. */
const BLOCK = 4194301;
const STANDARD_DEVIATION = 0.02;
/** The hub's files are cut at 10 GB. */
const SHARD_BYTES = 1e10;

interface Placed extends Tensor {
  readonly bytes: number;
}

/**
 * A checkpoint of a published shape with random weights: what speed and memory need, when the model itself is out of
 * reach. The config is the published one; tensors, names, formats and shards are laid out as on the hub.
 */
export function writeCheckpoint(
  shape: Shape,
  directory: string,
  { dtype = SHAPES[shape].dtype as StoredDType, layers = undefined as number | undefined, seed = 1 } = {},
): void {
  const name = Object.keys(STORED_DTYPES).find((key) => STORED_DTYPES[key] === dtype)!;
  const config = configOf(shape, layers);
  const torch = { f32: "float32", bf16: "bfloat16", f16: "float16" }[dtype];
  const size = { F32: 4, BOOL: 1 };
  const shards: Placed[][] = [[]];
  let total = 0;
  for (const tensor of tensorsOf(config)) {
    const bytes = tensor.shape.reduce((a, b) => a * b, tensor.stored ? size[tensor.stored] : DTYPE_BYTES[dtype]);
    const shard = shards.at(-1)!;
    const filled = shard.reduce((sum, other) => sum + other.bytes, bytes);
    if (filled > SHARD_BYTES) shards.push([{ ...tensor, bytes }]);
    else shard.push({ ...tensor, bytes });
    total += bytes;
  }
  mkdirSync(directory, { recursive: true });
  const there = readdirSync(directory);
  if (there.length > 0) throw new OptionError(mismatch(directory, "an empty folder", there.join(", ")));
  checkDisk(directory, total);

  const random = uniform(seed);
  const next = gaussian(random);
  const values = Float32Array.from({ length: BLOCK }, () => STANDARD_DEVIATION * next());
  const noise = new Noise(encode(values, dtype), DTYPE_BYTES[dtype], random);
  const ones = new Noise(encode(new Float32Array(BLOCK).fill(1), dtype), DTYPE_BYTES[dtype], random);
  const zeros = new Noise(new Uint8Array(BLOCK), 1, random);
  const fills = { noise, ones, zeros };
  const progress = new Progress(shape);
  const weightMap: Record<string, string> = {};
  const digits = (n: number) => `${n}`.padStart(5, "0");
  let done = 0;
  for (const [i, shard] of shards.entries()) {
    const file =
      shards.length === 1 ? "model.safetensors" : `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`;
    const fd = openSync(join(directory, file), "w");
    writeSync(fd, header(shard, name));
    for (const tensor of shard) {
      fills[tensor.fill].write(fd, tensor.bytes);
      weightMap[tensor.name] = file;
      progress.update((done += tensor.bytes), total);
    }
    closeSync(fd);
  }
  progress.end();
  const json = (file: string, value: unknown) =>
    writeFileSync(join(directory, file), `${JSON.stringify(value, null, 2)}\n`);
  if (shards.length > 1)
    json("model.safetensors.index.json", { metadata: { total_size: total }, weight_map: weightMap });
  json("config.json", { ...config, torch_dtype: torch });
  console.log(`${directory}: ${shape}, ${dtype}, ${gigabytes(total)} in ${shards.length} file(s), seed ${seed}`);
}

/** The length, and the JSON that says where each tensor lies, padded to 8 bytes. see: safetensors' format */
function header(tensors: readonly Placed[], dtype: string): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const { name, shape, stored, bytes } of tensors)
    entries[name] = { dtype: stored ?? dtype, shape, data_offsets: [at, (at += bytes)] };
  const json = JSON.stringify(entries);
  const text = new TextEncoder().encode(json + " ".repeat((8 - (json.length % 8)) % 8));
  const length = new Uint8Array(BigUint64Array.of(BigInt(text.length)).buffer);
  return Buffer.concat([length, text]);
}

if (import.meta.main) {
  const layers = (text: string) => {
    if (/^[1-9]\d*$/.test(text)) return Number(text);
    throw new OptionError(mismatch("--layers", "a positive whole number", text));
  };
  const program = new Command("synthetic")
    .description("write a checkpoint of a published shape with random weights")
    .argument("<shape>", Object.keys(SHAPES).join(", "))
    .argument("<directory>", "an empty folder")
    .addOption(new Option("--dtype <dtype>", "number format, else the published one").choices(STORED))
    .option("--layers <n>", "fewer layers than published", layers)
    .option("--seed <n>", "of the weights", Number, 1)
    .action((shape: string, directory: string, flags: { dtype?: StoredDType; layers?: number; seed: number }) => {
      if (!(shape in SHAPES)) throw new OptionError(mismatch("shape", Object.keys(SHAPES).join(", "), shape));
      writeCheckpoint(shape as Shape, directory, flags);
    });
  try {
    program.parse();
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
