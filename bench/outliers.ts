import { copyFile, mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { openDirectory } from "../src/formats/checkpoint.ts";
import { safetensorsHeader } from "../src/formats/safetensors.ts";
import { programOf } from "../src/models/index.ts";
import type { Operation, Program } from "../src/models/program.ts";
import { directory } from "../src/sources/directory.ts";

/** Every 37th channel of a norm's output is this many times larger, as in large models, where it harms quantisation. */
const FACTOR = 30;
const EVERY = 37;

/**
 * Writes a copy of the checkpoint in `from` that computes the same function, with outlier channels: some channels of every
 * norm's weight and bias times 30, and the columns of the matrices that read them divided by 30. Stored as f32.
 */
export async function withOutliers(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const file of await readdir(from)) {
    if (file.endsWith(".json") && file !== "reference.json") await copyFile(join(from, file), join(to, file));
  }
  const checkpoint = await openDirectory(directory(from));
  try {
    const tensors = new Map<string, { shape: readonly number[]; values: Float32Array<ArrayBuffer> }>();
    for (const [name, tensor] of checkpoint.tensors) {
      const bytes = new Uint8Array(tensor.end - tensor.begin);
      await tensor.source.readInto(bytes, tensor.begin);
      tensors.set(name, { shape: tensor.shape, values: toFloats(bytes, tensor.dtype) });
    }
    const program = programOf(checkpoint.config, `${from}/config.json`);
    const scale = (name: string, change: (value: number, index: number) => number): void => {
      const tensor = tensors.get(name);
      if (!tensor) throw new Error(`${from}: no tensor ${name}`);
      for (const [i, value] of tensor.values.entries()) tensor.values[i] = change(value, i);
    };
    const outlier = (channel: number): boolean => channel % EVERY === 1;
    const readers = new Set<string>();
    for (const { norm, matrices } of normsAndReaders(program)) {
      for (const name of norm) scale(name, (value, i) => (outlier(i) ? value * FACTOR : value));
      for (const matrix of matrices) {
        const { tensors: places, shape } = program.weights.get(matrix) as {
          tensors: readonly string[];
          shape: readonly number[];
        };
        const [own, other] = places as [string, string?];
        // A tied head reads a norm, its table does not: the head gets a copy of its own.
        const table = tensors.get(own) ?? tensors.get(other ?? "");
        if (table && !tensors.has(own)) tensors.set(own, { ...table, values: table.values.slice() });
        if (readers.has(own)) continue; // rows of one tensor that are several matrices
        readers.add(own);
        const columns = shape[1] as number;
        scale(own, (value, i) => (outlier(i % columns) ? value / FACTOR : value));
      }
    }
    await write(join(to, "model.safetensors"), tensors);
  } finally {
    await checkpoint.close();
  }
}

function toFloats(bytes: Uint8Array<ArrayBuffer>, dtype: string): Float32Array<ArrayBuffer> {
  if (dtype === "F32") return new Float32Array(bytes.buffer);
  if (dtype !== "BF16") throw new Error(`expected tensors of F32 or BF16, found ${dtype}`);
  return new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (bits) => bits << 16).buffer);
}

/** Every norm's tensors, and the matrices that read what it gives. */
function* normsAndReaders({ layers, head, weights }: Program) {
  const operations = [...layers.flat(), ...head];
  for (const [i, operation] of operations.entries()) {
    if (operation.op !== "rmsNorm" && operation.op !== "layerNorm") continue;
    const until = operations.findIndex((later, j) => j > i && writes(later, operation.y));
    const readers = operations
      .slice(i + 1, until < 0 ? undefined : until)
      .filter((later) => Object.entries(later).some(([key, value]) => key !== "y" && value === operation.y));
    const matrices = readers.map((reader) => {
      if (reader.op !== "matmul") throw new Error(`expected matmuls to read ${operation.weight}, found ${reader.op}`);
      return reader.weight;
    });
    const names = [operation.weight, ...("bias" in operation && operation.bias ? [operation.bias] : [])];
    yield { norm: names.flatMap((name) => weights.get(name)?.tensors[0] ?? []), matrices };
  }
}

function writes(operation: Operation, buffer: string): boolean {
  return "y" in operation && operation.y === buffer;
}

async function write(
  path: string,
  tensors: ReadonlyMap<string, { shape: readonly number[]; values: Float32Array<ArrayBuffer> }>,
) {
  const list = [...tensors].map(([name, { shape }]) => ({ name, dtype: "F32", shape }));
  const file = await open(path, "w");
  try {
    await file.writeFile(safetensorsHeader(list));
    for (const { values } of tensors.values()) await file.writeFile(new Uint8Array(values.buffer));
  } finally {
    await file.close();
  }
}
