/** What the engine's tests share: tiny checkpoints in memory, variants of them, and logits by the dense mask. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Engine, type LoadingOptions } from "../../src/engine/engine.ts";
import { type Checkpoint, openDirectory } from "../../src/formats/checkpoint.ts";
import { memorySource, parseSafetensors, safetensorsHeader } from "../../src/formats/safetensors.ts";
import type { Build } from "../../src/machine/kernels.ts";
import { attentionOf, type Program } from "../../src/models/program.ts";
import type { PolicyName, PolicyOptions } from "../../src/plan/policy.ts";
import type { Policy } from "../reference/attention.ts";
import { type Config, forward, type Watch } from "../reference/model.ts";
import { readTensors, type Tensors } from "../reference/safetensors.ts";
import { FIXTURES, kernels } from "../setup.ts";

export { FAMILIES } from "../setup.ts";

/** For setDefaultTimeout, in ms: no test here measures time, and a machine that is busy otherwise may take its own. */
export const PATIENCE = 120_000;

/** Tokens that every fixture knows. */
export const VOCAB = 61;

export interface Tensor {
  dtype: string;
  shape: readonly number[];
  bytes: Uint8Array;
}

/** A checkpoint in memory, to be changed before it is loaded. */
export interface Tiny {
  config: Config;
  tensors: Map<string, Tensor>;
}

/** A copy of a fixture. */
export function fixture(name: string): Tiny {
  return tinyOf(join(FIXTURES, name));
}

/** A copy of the checkpoint in a folder. */
export function tinyOf(folder: string): Tiny {
  return {
    config: JSON.parse(readFileSync(join(folder, "config.json"), "utf8")),
    tensors: tensorsOf(new Uint8Array(readFileSync(join(folder, "model.safetensors")))),
  };
}

/** Copies of the tensors of a safetensors file, in its order. */
export function tensorsOf(file: Uint8Array): Map<string, Tensor> {
  const { tensors } = parseSafetensors(file, "tiny");
  return new Map(
    [...tensors].map(([key, { dtype, shape, begin, end }]) => [key, tensor(dtype, shape, file.slice(begin, end))]),
  );
}

/** A safetensors file of these tensors. */
export function fileOf(tensors: ReadonlyMap<string, Tensor>): Uint8Array<ArrayBuffer> {
  const entries = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  return new Uint8Array(
    Buffer.concat([safetensorsHeader(entries), ...[...tensors.values()].map(({ bytes }) => bytes)]),
  );
}

export function tensor(dtype: string, shape: readonly number[], bytes: Uint8Array): Tensor {
  return { dtype, shape, bytes };
}

export function checkpointOf({ config, tensors }: Tiny): Promise<Checkpoint> {
  const files: Record<string, Uint8Array> = {
    "config.json": new TextEncoder().encode(JSON.stringify(config)),
    "model.safetensors": fileOf(tensors),
  };
  return openDirectory({
    name: "tiny",
    async open(file) {
      const bytes = files[file];
      return bytes && memorySource(bytes, `tiny/${file}`);
    },
  });
}

/** An engine over a fixture, by name, or over a checkpoint in memory. */
export async function engineOf(model: string | Tiny, options: LoadingOptions = {}, build?: Build): Promise<Engine> {
  const tiny = typeof model === "string" ? fixture(model) : model;
  return Engine.load(await checkpointOf(tiny), await kernels(build), options);
}

/** Random ids of the fixtures' vocabulary, the same for the same seed. */
export function randomIds(count: number, seed: number): number[] {
  let state = seed + 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * VOCAB);
  });
}

const references = new Map<string, { config: Config; tensors: Tensors }>();

/** Logits [n][vocab] of a fixture in f64, by attention whose mask is written out pair by pair. */
export function dense(
  name: string,
  ids: readonly number[],
  { begin, pinned, ...options }: PolicyOptions & Pick<Policy, "begin" | "pinned">,
  watch?: Watch,
): Float64Array[] {
  const found = references.get(name) ?? { config: fixture(name).config, tensors: readTensors(join(FIXTURES, name)) };
  references.set(name, found);
  const { attention = "lambda", nGlobal = 0, nLocal = Infinity, limit = nLocal } = options;
  const policy: Policy = { policy: attention, nGlobal, nLocal, limit, pinned, ...(begin && { begin }) };
  return forward(found.config, found.tensors, ids, policy, watch);
}

/** Key heads of a model's layers. */
export function kvHeadsOf(program: Program): number {
  return attentionOf(program, 0)?.shape.kvHeads ?? 0;
}

/** A policy's options with room for `tokens` where its cache grows. */
export function policyOf(attention: PolicyName, shape: PolicyOptions, tokens: number): PolicyOptions {
  return { ...shape, attention, maxPositions: tokens };
}

/** The logits after each token, read one by one: what every other way of reading must give, bit for bit. */
export async function oneByOne(engine: Engine, ids: readonly number[], origin = 0): Promise<Float32Array[]> {
  const session = engine.open(origin, 1);
  const rows: Float32Array[] = [];
  for (const id of ids) {
    await engine.append(session, [id]);
    rows.push(rowOf(engine, session));
  }
  engine.dispose(session);
  return rows;
}

/** A copy of a session's logits. */
export function rowOf(engine: Engine, session: number): Float32Array {
  return engine.logits(engine.state(session)).slice();
}

/** Whether two rows have the same bits; −0 is not 0. */
export function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function bytesOf(row: Float32Array): Uint8Array {
  return new Uint8Array(row.buffer, row.byteOffset, row.byteLength);
}

/** The first position at which two texts' logits differ in a bit; −1 if there is none. */
export function firstDifference(found: readonly Float32Array[], wanted: readonly Float32Array[]): number {
  if (found.length !== wanted.length) return Math.min(found.length, wanted.length);
  return found.findIndex((row, i) => !sameBits(row, wanted[i] as Float32Array));
}

/** The model with a head of its own in place of the embedding: the embedding's rows in reverse. */
export function untiedHead({ config, tensors }: Tiny): Tiny {
  const table = tensors.get("transformer.wte.weight") as Tensor;
  const width = table.bytes.length / (table.shape[0] as number);
  const bytes = new Uint8Array(table.bytes.length);
  for (let at = 0; at < bytes.length; at += width)
    bytes.set(table.bytes.subarray(at, at + width), bytes.length - width - at);
  return {
    config: { ...config, tie_word_embeddings: false },
    tensors: new Map(tensors).set("lm_head.weight", { ...table, bytes }),
  };
}

/** The model with its embedding in place of the head. */
export function tiedHead({ config, tensors }: Tiny): Tiny {
  const rest = new Map(tensors);
  rest.delete("lm_head.weight");
  return { config: { ...config, tie_word_embeddings: true }, tensors: rest };
}
