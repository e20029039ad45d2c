import { contiguous, type RowRange } from "../base/rows.ts";
import type { WithoutEffect } from "../formats/config.ts";
import { HIDDEN, LAST, LOGITS } from "./buffers.ts";
import type { Positions } from "./positions.ts";

/**
 * A model as data: operations over named buffers and named weights. Model files make it from a config, planning gives
 * the names addresses, and only the Wasm executor carries it out. No attention policy, weight format or memory bank
 * appears here.
 */
export interface Program extends WithoutEffect {
  readonly modelType: string;
  readonly vocabSize: number;
  /** The trained length P in tokens: max_position_embeddings, n_positions or max_seq_len. */
  readonly trainedLength: number;
  /** Buffers of activations: f32 values per row of the step. Those of buffers.ts must be among them. */
  readonly buffers: Readonly<Record<string, number>>;
  readonly weights: ReadonlyMap<string, Weight>;
  /** How names of tensors start that belong to other parts of the checkpoint, such as vision. */
  readonly otherTensors?: readonly string[] | undefined;
  /** Operations before the layers, of each layer, and after them; the last work on the rows that want logits. */
  readonly embed: readonly Operation[];
  readonly layers: readonly (readonly Operation[])[];
  readonly head: readonly Operation[];
}

/** The heads of an attention. */
export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Factor of q · k. */
  readonly scale: number;
  /** Logits, thus scaled, become softCap · tanh(logit / softCap); by default they stay. */
  readonly softCap?: number | undefined;
}

/** The attention of a layer, with everything in which layers may differ. A layer has at most one. */
export interface AttentionOperation {
  readonly op: "attention";
  readonly y: string;
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly shape: AttentionShape;
  readonly positions: Positions;
  /** The window that it was trained with, in tokens: a query meets keys at distances 0 ≤ d < window. Undefined: all. */
  readonly window: number | undefined;
}

/** A matrix [n, k] or vector [n] made of some rows of a stored tensor. */
export interface Weight {
  readonly name: string;
  readonly shape: readonly [n: number, k: number] | readonly [n: number];
  /** Where it is stored: the first of these tensors that the checkpoint has. */
  readonly tensors: readonly string[];
  /** Shape of the stored tensor, and which of its rows are this weight, in order. */
  readonly stored: readonly number[];
  readonly rows: readonly RowRange[];
  /** What is added to every number while it is read: 1 where a norm multiplies by 1 + w; 0 by default. */
  readonly added?: number | undefined;
  /** What every number of an f32 matrix is multiplied by while it is read; 1 by default. */
  readonly factor?: number | undefined;
  /** Its format in memory, whatever the model's is. */
  readonly dtype?: "f32" | undefined;
}

/** Names in y, x, a, b, q, k, v are buffers; table, weight and bias are weights. */
export type Operation =
  | { readonly op: "embed"; readonly y: string; readonly table: string }
  | { readonly op: "gather"; readonly y: string; readonly x: string }
  | {
      readonly op: "rmsNorm";
      readonly y: string;
      readonly x: string;
      readonly weight: string;
      readonly eps: number;
      /** Heads that x consists of, each normed by itself with the same weight; 1 by default. */
      readonly groups?: number | undefined;
      /** Added to the result: a buffer, which may be y. */
      readonly residual?: string | undefined;
    }
  | {
      readonly op: "layerNorm";
      readonly y: string;
      readonly x: string;
      readonly weight: string;
      readonly bias?: string | undefined;
      readonly eps: number;
    }
  | {
      readonly op: "matmul";
      readonly y: string;
      readonly x: string;
      readonly weight: string;
      readonly bias?: string | undefined;
      /** Added to the result: a buffer, which may be y. */
      readonly residual?: string | undefined;
    }
  | AttentionOperation
  | { readonly op: "siluMul" | "geluTanhMul"; readonly y: string; readonly a: string; readonly b: string }
  | { readonly op: "gelu" | "geluTanh"; readonly y: string; readonly a: string }
  /** factor · a, a within ±factor, or factor · tanh(a / factor). */
  | { readonly op: "scale" | "clip" | "softCap"; readonly y: string; readonly a: string; readonly factor: number };

/** The attention of a layer, if it has one. */
export function attentionOf({ layers }: Program, layer: number): AttentionOperation | undefined {
  return layers[layer]?.find((operation) => operation.op === "attention");
}

/** The trained window of every layer, in tokens; undefined: the whole text. */
export function windowsOf(program: Program): (number | undefined)[] {
  return program.layers.map((_, layer) => attentionOf(program, layer)?.window);
}

/** Numbers of a hidden state. */
export function hiddenSize({ buffers }: Program): number {
  return buffers[HIDDEN] as number;
}

/** Query heads of a layer; 0 where it does not attend. */
export function headsOf(program: Program, layer: number): number {
  return attentionOf(program, layer)?.shape.heads ?? 0;
}

/** The weights that an operation names. */
export function weightNames(operation: Operation): string[] {
  if (operation.op === "embed") return [operation.table];
  if (operation.op === "rmsNorm") return [operation.weight];
  if (operation.op !== "matmul" && operation.op !== "layerNorm") return [];
  return operation.bias ? [operation.weight, operation.bias] : [operation.weight];
}

type Matmul = Extract<Operation, { op: "matmul" }>;
/** A norm of rows or of heads. */
export type RmsNorm = Extract<Operation, { op: "rmsNorm" }>;

/** Larger sizes in a config are a mistake or an attack. */
export const MAX = {
  layers: 1024,
  heads: 4096,
  dim: 1 << 20,
  headDim: 1 << 14,
  vocab: 1 << 21,
  positions: 2 ** 40,
} as const;

/** Collects operations and the weights that they name. */
export class Weights {
  readonly all = new Map<string, Weight>();

  /** Declares a weight that is the whole tensor of its name; returns the name. */
  add(name: string, ...shape: [n: number, k: number] | [n: number]): string {
    return this.rows(name, [name], shape, contiguous(0, shape[0]), shape);
  }

  /** Declares a weight made of these rows of the first of `tensors` that is stored. */
  rows(
    name: string,
    tensors: readonly string[],
    stored: readonly number[],
    rows: readonly RowRange[],
    shape: [n: number, k: number] | [n: number],
  ): string {
    this.all.set(name, { name, shape, tensors, stored, rows });
    return name;
  }

  /** The embedding table [vocab, dim]; a tied one may be stored as the head only. */
  table(name: string, vocab: number, dim: number, tied: boolean): string {
    return this.rows(name, tied ? [name, HEAD] : [name], [vocab, dim], contiguous(0, vocab), [vocab, dim]);
  }

  /** hidden[n] += x[k] through `tensor`.weight [n, k], and `tensor`.bias where there is one. */
  update(x: string, tensor: string, n: number, k: number, bias: boolean): Operation {
    return { ...this.linear(HIDDEN, x, tensor, n, k, bias), residual: HIDDEN };
  }

  /** y[n] = x[k] through `tensor`.weight [n, k], and `tensor`.bias where there is one. */
  linear(y: string, x: string, tensor: string, n: number, k: number, bias: boolean): Matmul {
    return {
      op: "matmul",
      y,
      x,
      weight: this.add(`${tensor}.weight`, n, k),
      bias: bias ? this.add(`${tensor}.bias`, n) : undefined,
    };
  }

  /** y = norm(x) by `tensor`.weight [dim], of which x has one or several; `added`: see Weight. */
  rmsNorm(y: string, x: string, tensor: string, dim: number, eps: number, added = 0): RmsNorm {
    const weight = this.add(`${tensor}.weight`, dim);
    if (added) this.all.set(weight, { ...(this.all.get(weight) as Weight), added });
    return { op: "rmsNorm", y, x, weight, eps };
  }

  layerNorm(y: string, x: string, tensor: string, dim: number, eps: number, bias: boolean): Operation {
    const weight = this.add(`${tensor}.weight`, dim);
    return { op: "layerNorm", y, x, weight, bias: bias ? this.add(`${tensor}.bias`, dim) : undefined, eps };
  }

  /** logits[vocab] = last[dim] through the tied table or the head, which may be stored under another name. */
  head(table: string, tied: boolean, vocab: number, dim: number, bias: boolean, stored: string = HEAD): Operation {
    const names = [...new Set([HEAD, stored]), ...(tied ? [table] : [])];
    const weight = this.rows(HEAD, names, [vocab, dim], contiguous(0, vocab), [vocab, dim]);
    return { op: "matmul", y: LOGITS, x: LAST, weight, bias: bias ? this.add("lm_head.bias", vocab) : undefined };
  }
}

const HEAD = "lm_head.weight";
