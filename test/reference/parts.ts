/** What the models of the reference are made of: a config's values, a checkpoint's tensors, frequencies, activations. */
import type { AttentionRow, Policy } from "./attention";
import * as math from "./math";
import type { Tensors } from "./safetensors";

export type Config = Record<string, unknown>;

/** What a forward pass shows on its way; layers count from 0. */
export interface Watch {
  attention(layer: number, row: AttentionRow): void;
  /** HF hidden_states, without the final norm: after the embedding (0) and after layer index − 1, [n][hidden_size]. */
  hidden(index: number, x: Float64Array[]): void;
}

/** What layer_types says of a layer; where windows are mixed, one that has its own keeps it. */
export function layerType(config: Config, layer: number): string {
  return (config.layer_types as string[] | null | undefined)?.[layer] ?? "full_attention";
}

/** What attention takes of the policy and the observer in layer `layer`: middle keys in recallLayers, for recallHeads. */
export function inLayer(policy: Policy, watch: Watch | undefined, layer: number, window?: number) {
  const { recall = 0, recallLayers, recallHeads = "all", recallGate = -Infinity } = policy;
  const gateOf = (head: number) => {
    if (recallHeads === "all") return recallGate;
    const found = recallHeads.find((at) => at[0] === layer && at[1] === head);
    return found ? (found[2] ?? recallGate) : Infinity;
  };
  const mine: Policy = window
    ? { policy: "window", nLocal: window }
    : { ...policy, gateOf, recall: (recallLayers?.includes(layer) ?? true) ? recall : 0 };
  return [mine, (row: AttentionRow) => watch?.attention(layer, row)] as const;
}

/** The input embedding and the head, [vocab, hidden] each. Tied, either name alone serves both. */
export function embeddings(config: Config, tensors: Tensors, name: string, tiedByDefault: boolean) {
  const tied = flag(config, "tie_word_embeddings", tiedByDefault);
  const has = (tensor: string) => tensors.has(tensor);
  const embedding = get(tensors, tied && !has(name) ? "lm_head.weight" : name);
  const head = get(tensors, tied && !has("lm_head.weight") ? name : "lm_head.weight");
  return { embedding, head };
}

/** Rows `ids` of the embedding [vocab, width] → [n][width]. */
export function embed(ids: ArrayLike<number>, embedding: Float64Array, width: number): Float64Array[] {
  return Array.from(ids, (id) => embedding.slice(id * width, (id + 1) * width));
}

/** x through the linear layer `name`, with its bias or without. */
export function project(tensors: Tensors, name: string, x: Float64Array[], bias: boolean): Float64Array[] {
  return math.linear(x, get(tensors, `${name}.weight`), bias ? get(tensors, `${name}.bias`) : null);
}

/** θ of a layer's type, where rope_parameters has one of its own for it, from either spelling: rope_parameters {rope_type, rope_theta, …}, or rope_theta and rope_scaling {type | rope_type, …}. */
export function ropeFrequencies(config: Config, rotaryDim: number, type: string): Float64Array {
  const parameters = (config.rope_scaling ?? config.rope_parameters ?? {}) as Config;
  const rope = (parameters[type] ?? parameters) as Config;
  const theta = number(rope, "rope_theta", number(config, "rope_theta", 10000));
  const scaling = text(rope, "rope_type", text(rope, "type", "default"));
  if (scaling === "default") return math.inverseFrequencies(rotaryDim, theta);
  const factor = number(rope, "factor");
  if (scaling === "linear") return math.inverseFrequencies(rotaryDim, theta, { type: scaling, factor });
  if (scaling !== "llama3") throw new Error(`rope_type: expected default, linear or llama3, found ${scaling}`);
  return math.inverseFrequencies(rotaryDim, theta, {
    type: scaling,
    factor,
    lowFreqFactor: number(rope, "low_freq_factor"),
    highFreqFactor: number(rope, "high_freq_factor"),
    originalContext: number(rope, "original_max_position_embeddings"),
  });
}

/** HF ACT2FN, those that occur. */
export function activation(name: string): (x: number) => number {
  const functions: Record<string, (x: number) => number> = {
    silu: math.silu,
    swish: math.silu,
    gelu: math.gelu,
    gelu_new: math.geluNew,
    gelu_fast: math.geluNew,
    gelu_pytorch_tanh: math.geluNew,
  };
  const found = functions[name];
  if (!found) throw new Error(`activation: expected one of ${Object.keys(functions)}, found ${name}`);
  return found;
}

export function get(tensors: Tensors, name: string): Float64Array {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`${name}: expected a tensor of this name, found none`);
  return tensor.data;
}

export function number(config: Config, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value !== "number") throw new Error(`${key}: expected a number, found ${JSON.stringify(value)}`);
  return value;
}

export function flag(config: Config, key: string, fallback: boolean): boolean {
  const value = config[key] ?? fallback;
  if (typeof value !== "boolean") throw new Error(`${key}: expected true or false, found ${JSON.stringify(value)}`);
  return value;
}

export function text(config: Config, key: string, fallback: string): string {
  const value = config[key] ?? fallback;
  if (typeof value !== "string") throw new Error(`${key}: expected a string, found ${JSON.stringify(value)}`);
  return value;
}
