import { join } from "node:path";
import { install, runNode, temporaryFolder } from "./child.ts";
import { encode, gaussian, Noise, uniform } from "./noise.ts";
import { addLinear, emptyGraph, type Linear, value, writeModel } from "./onnx.ts";
import { attempt, type Measured, type PeerOptions, type PeerResult } from "./result.ts";
import { configOf, type Shape, tensorsOf } from "./shapes.ts";

const VERSION = "1.30.0";
const FORMATS = {
  f32: "f32 MatMul",
  int8: "8-bit MatMulInteger",
  q4: "4-bit MatMulNBits",
  q8: "8-bit MatMulNBits",
} as const;
const TIMEOUT_MS = 240_000;
/** Values of a supply of noise: a prime. */
const VALUES = 1048573;

/** The random weights of ONNX models. A byte holds two 4-bit weights or one of 8 bits; their zeros are 8 and 128. */
export function onnxWeights(format: Linear["format"]): Linear {
  const random = uniform(1);
  const next = gaussian(random);
  const integer = (deviation: number, most: number) =>
    Math.max(0, Math.min(2 * most - 1, Math.round(most + deviation * next())));
  const byte = () => (format === "q4" ? integer(3, 8) | (integer(3, 8) << 4) : integer(40, 128));
  const floats = Float32Array.from({ length: VALUES }, () => 0.02 * next());
  return {
    format,
    weights: new Noise(Uint8Array.from({ length: VALUES }, byte), 1, random),
    floats: new Noise(encode(floats, "f32"), 4, random),
  };
}

/** ONNX Runtime for the web: only the matrix products of a model, so that tokens per second are derived. */
export async function* onnxruntime({ shape, layers, threads }: PeerOptions): AsyncGenerator<PeerResult> {
  const matrices = tensorsOf(configOf(shape as Shape, layers)).filter(
    ({ shape, stored }) => shape.length === 2 && !stored,
  );
  // The first is the table of embeddings, which is looked up, not multiplied; where there is no other, the head is it.
  const tied = !matrices.some(({ name }) => name === "lm_head.weight");
  const products = (tied ? [...matrices.slice(1), matrices[0]!] : matrices.slice(1)).map(({ shape }) =>
    shape.join(" "),
  );
  const distinct = [...new Set(products)];
  for (const format of Object.keys(FORMATS) as Linear["format"][]) {
    using models = temporaryFolder();
    const weights = onnxWeights(format);
    for (const text of distinct) {
      const [rows, columns] = text.split(" ").map(Number) as [number, number];
      const graph = emptyGraph();
      addLinear(graph, weights, "y", "x", rows, columns);
      graph.inputs.push(value("x", ["count", columns]));
      graph.outputs.push(value("y", ["count", rows]));
      writeModel(join(models.path, `${rows}-${columns}.onnx`), graph);
    }
    for (const n of threads) {
      const measure = async (): Promise<Measured> => {
        const folder = await install("onnxruntime", { "onnxruntime-web": VERSION });
        const args = [`${n}`, models.path, ...distinct];
        const times = await runNode<Record<string, [number, number]>>(folder, "onnxruntime.mjs", args, TIMEOUT_MS);
        const sum = (products: string[], rows: 0 | 1) => products.reduce((ms, text) => ms + times[text]![rows], 0);
        // A prompt needs the logits of its last token only.
        const prefill = sum(products.slice(0, -1), 1) + sum(products.slice(-1), 0);
        const note = "derived: the sum of the model's matrix products, nothing else";
        return { decode: 1000 / sum(products, 0), prefill: 128_000 / prefill, note };
      };
      const about = { peer: "onnxruntime-web", version: VERSION, format: FORMATS[format], threads: n };
      yield await attempt(about, measure);
    }
  }
}
