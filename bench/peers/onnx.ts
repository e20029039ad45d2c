import { closeSync, openSync, writeSync } from "node:fs";
import type { Noise } from "./noise.ts";

/** ONNX models, written without a library: a few messages of protobuf. see: onnx/onnx.proto */

/** Bytes of a message: there already, or random ones that go straight to the file. */
export type Part = Uint8Array | { readonly length: number; readonly noise: Noise };

/** A message as its parts, one after the other. */
export type Message = readonly Part[];

const FLOAT = 1;
export const UINT8 = 2;
export const INT32 = 6;
export const INT64 = 7;
const BYTES = { [FLOAT]: 4, [UINT8]: 1, [INT64]: 8 } as Readonly<Record<number, number>>;
/** The operators of ONNX Runtime itself. */
export const MICROSOFT = "com.microsoft";

export interface Graph {
  readonly nodes: Message[];
  readonly initializers: Message[];
  readonly inputs: Message[];
  readonly outputs: Message[];
  /** Of what there is an 8-bit copy already. */
  readonly quantized: Set<string>;
}

export function emptyGraph(): Graph {
  return { nodes: [], initializers: [], inputs: [], outputs: [], quantized: new Set() };
}

export function writeModel(path: string, { nodes, initializers, inputs, outputs }: Graph): void {
  const graph: Message = [
    ...nodes.flatMap((message) => nested(1, message)),
    ...text(2, "graph"),
    ...initializers.flatMap((message) => nested(5, message)),
    ...inputs.flatMap((message) => nested(11, message)),
    ...outputs.flatMap((message) => nested(12, message)),
  ];
  const opset = (domain: string, version: number) => nested(8, [...text(1, domain), ...integer(2, version)]);
  const fd = openSync(path, "w");
  for (const part of [...integer(1, 8), ...nested(7, graph), ...opset("", 17), ...opset(MICROSOFT, 1)])
    if ("noise" in part) part.noise.write(fd, part.length);
    else writeSync(fd, part);
  closeSync(fd);
}

type Attribute = number | { readonly float: number };

export function addNode(
  graph: Graph,
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, Attribute>> = {},
  domain = "",
): void {
  graph.nodes.push([
    ...inputs.flatMap((name) => text(1, name)),
    ...outputs.flatMap((name) => text(2, name)),
    ...text(3, outputs[0] as string),
    ...text(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) =>
      nested(5, [
        ...text(1, name),
        ...(typeof value === "number"
          ? [...integer(3, value), ...integer(20, 2)]
          : [...float(2, value.float), ...integer(20, 1)]),
      ]),
    ),
    ...text(7, domain),
  ]);
}

/** A constant of random bytes. */
export function addNoise(graph: Graph, name: string, type: number, shape: readonly number[], noise: Noise): void {
  const length = shape.reduce((a, b) => a * b, BYTES[type] as number);
  addInitializer(graph, name, type, shape, { length, noise });
}

export function addFloats(graph: Graph, name: string, shape: readonly number[], values: Float32Array): void {
  addInitializer(graph, name, FLOAT, shape, new Uint8Array(values.buffer));
}

export function addInts(graph: Graph, name: string, values: readonly number[]): void {
  addInitializer(graph, name, INT64, [values.length], new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
}

function addInitializer(graph: Graph, name: string, type: number, shape: readonly number[], data: Part): void {
  graph.initializers.push([
    ...shape.flatMap((extent) => integer(1, extent)),
    ...integer(2, type),
    ...text(8, name),
    ...nested(9, [data]),
  ]);
}

/** An input or output; an extent with a name is known at run time only. */
export function value(name: string, shape: readonly (number | string)[], type = FLOAT): Message {
  const extents = shape.flatMap((extent) =>
    nested(1, typeof extent === "number" ? integer(1, extent) : text(2, extent)),
  );
  return [...text(1, name), ...nested(2, nested(1, [...integer(1, type), ...nested(2, extents)]))];
}

export interface Linear {
  readonly format: "f32" | "q4" | "q8" | "int8";
  /** The random bytes of weights in this format, and of f32 numbers. */
  readonly weights: Noise;
  readonly floats: Noise;
}

const BLOCK = 32;

/**
 * y = x · Wᵀ, with random W [rows][columns]. f32: MatMul. q4 and q8: MatMulNBits, a scale for every 32 weights. int8:
 * MatMulInteger, one scale for the matrix and one for the activations, which become integers as they come.
 */
export function addLinear(
  graph: Graph,
  { format, weights, floats }: Linear,
  y: string,
  x: string,
  rows: number,
  columns: number,
): void {
  const weight = `${y}.weight`;
  if (format === "f32") {
    addNoise(graph, weight, FLOAT, [columns, rows], floats);
    addNode(graph, "MatMul", [x, weight], [y]);
  } else if (format === "int8") {
    const quantized = [`${x}.quantized`, `${x}.scale`, `${x}.zero`];
    if (!graph.quantized.has(x)) addNode(graph, "DynamicQuantizeLinear", [x], quantized);
    graph.quantized.add(x);
    const [integers, scale, zero] = quantized as [string, string, string];
    addNoise(graph, weight, UINT8, [columns, rows], weights);
    addInitializer(graph, `${y}.zero`, UINT8, [], Uint8Array.of(128));
    addFloats(graph, `${y}.scale`, [], Float32Array.of(0.0005));
    addNode(graph, "MatMulInteger", [integers, weight, zero, `${y}.zero`], [`${y}.sums`]);
    addNode(graph, "Cast", [`${y}.sums`], [`${y}.floats`], { to: FLOAT });
    addNode(graph, "Mul", [scale, `${y}.scale`], [`${y}.scales`]);
    addNode(graph, "Mul", [`${y}.floats`, `${y}.scales`], [y]);
  } else {
    const bits = format === "q4" ? 4 : 8;
    const blocks = columns / BLOCK;
    addNoise(graph, weight, UINT8, [rows, blocks, (BLOCK * bits) / 8], weights);
    const scales = new Float32Array(rows * blocks).fill(format === "q4" ? 0.007 : 0.0005);
    addFloats(graph, `${y}.scales`, [rows * blocks], scales);
    // Level 4 lets it compute with 8-bit integers.
    const attributes = { K: columns, N: rows, bits, block_size: BLOCK, accuracy_level: 4 };
    addNode(graph, "MatMulNBits", [x, weight, `${y}.scales`], [y], attributes, MICROSOFT);
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, BigInt(value));
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128);
  return Uint8Array.from([...bytes, Number(left)]);
}

function integer(field: number, value: number): Message {
  return [varint(field << 3), varint(value)];
}

function float(field: number, value: number): Message {
  return [varint((field << 3) | 5), new Uint8Array(Float32Array.of(value).buffer)];
}

function text(field: number, value: string): Message {
  return nested(field, [new TextEncoder().encode(value)]);
}

function nested(field: number, message: Message): Message {
  return [varint((field << 3) | 2), varint(message.reduce((sum, { length }) => sum + length, 0)), ...message];
}
