import { HIDDEN } from "./buffers.ts";
import { scaled } from "./decoder.ts";
import type { Positions } from "./positions.ts";
import type { AttentionShape, Operation, RmsNorm, Weights } from "./program.ts";

/** What differs between models of RMSNorm, attention and a gated MLP; what is left out is as in LLaMA. */
export interface GatedVariant {
  readonly qkvBias: boolean;
  readonly outBias: boolean;
  readonly mlpBias: boolean;
  /** The trained window of a layer; without this function no layer has one. */
  readonly window?: ((layer: number) => number | undefined) | undefined;
  /** The positions of a layer; without this function the rotary ones of the config. */
  readonly positions?: ((layer: number) => Positions) | undefined;
  /** Factor of q · k, 1 / √headDim by default. */
  readonly scale?: number | undefined;
  /** See AttentionShape. */
  readonly softCap?: number | undefined;
  /** Norms of queries and keys: of each head by itself, or of all together. */
  readonly queryKeyNorm?: "head" | "all" | undefined;
  readonly norms?: GatedNorms | undefined;
  /** What every norm adds to its stored weights; see Weight. */
  readonly normAdded?: number | undefined;
  /** siluMul by default. */
  readonly activation?: "siluMul" | "geluTanhMul" | undefined;
  /** Factors, 1 by default: of the embeddings, of what is added to the hidden state, of the logits. */
  readonly embedScale?: number | undefined;
  readonly residualScale?: number | undefined;
  readonly logitScale?: number | undefined;
  readonly logitCap?: number | undefined;
}

/** Names of the norms around a layer's attention and its MLP. */
export interface GatedNorms {
  readonly attention: NormsAround;
  readonly mlp: NormsAround;
}

/** The norm of what is read, and that of what is added to the hidden state; undefined: none. */
interface NormsAround {
  readonly before?: string;
  readonly after?: string;
}

const NORMS: GatedNorms = { attention: { before: "input_layernorm" }, mlp: { before: "post_attention_layernorm" } };

/** The window of each layer that layer_types gives one, or without it of all but every `pattern`-th. */
export function windowedLayers(
  config: { readonly layer_types: readonly string[] | undefined; readonly sliding_window: number },
  pattern: number,
): (layer: number) => number | undefined {
  const { layer_types: types, sliding_window: window } = config;
  const isWindowed = (layer: number) => (types ? types[layer] === "sliding_attention" : (layer + 1) % pattern !== 0);
  return (layer) => (isWindowed(layer) ? window : undefined);
}

/** What all layers of a model have in common. */
export interface GatedLayers {
  readonly variant: GatedVariant;
  readonly weights: Weights;
  /** Widths of the hidden state and of the MLP. */
  readonly hidden: number;
  readonly inner: number;
  readonly eps: number;
  readonly shape: AttentionShape;
  positions(layer: number): Positions;
}

/** y = RMSNorm(x) by `tensor`.weight [dim]. */
export function gatedNorm(
  { weights, hidden, eps, variant }: GatedLayers,
  y: string,
  x: string,
  tensor: string,
  dim = hidden,
): RmsNorm {
  return weights.rmsNorm(y, x, tensor, dim, eps, variant.normAdded);
}

/** The operations of layer `index`. */
export function gatedLayer(layers: GatedLayers, index: number): Operation[] {
  const { attention, mlp } = layers.variant.norms ?? NORMS;
  const layer = `model.layers.${index}`;
  return [
    ...before(layers, layer, attention),
    ...attend(layers, layer, index, attention.before ? "normed" : HIDDEN),
    ...after(layers, layer, attention, "attended"),
    ...before(layers, layer, mlp),
    ...feed(layers, layer, mlp.before ? "normed" : HIDDEN),
    ...after(layers, layer, mlp, "gate"),
  ];
}

function before(layers: GatedLayers, layer: string, norms: NormsAround): Operation[] {
  return norms.before ? [gatedNorm(layers, "normed", HIDDEN, `${layer}.${norms.before}`)] : [];
}

/** hidden += the norm of x through the output projection. */
function after(layers: GatedLayers, layer: string, norms: NormsAround, x: "attended" | "gate"): Operation[] {
  const { weights, variant, hidden, inner, shape } = layers;
  const [tensor, k, bias] =
    x === "attended"
      ? [`${layer}.self_attn.o_proj`, shape.heads * shape.headDim, variant.outBias]
      : [`${layer}.mlp.down_proj`, inner, variant.mlpBias];
  const scale = scaled(x, variant.residualScale ?? 1);
  if (!norms.after) return [...scale, weights.update(x, tensor, hidden, k, bias)];
  const projection = weights.linear("normed", x, tensor, hidden, k, bias);
  const norm = gatedNorm(layers, HIDDEN, "normed", `${layer}.${norms.after}`);
  return [...scale, projection, { ...norm, residual: HIDDEN }];
}

/** attended = attention of x. */
function attend(layers: GatedLayers, layer: string, index: number, x: string): Operation[] {
  const { weights, variant, hidden, shape } = layers;
  const { heads, kvHeads, headDim } = shape;
  const project = (y: string, count: number) =>
    weights.linear(y, x, `${layer}.self_attn.${y}_proj`, count * headDim, hidden, variant.qkvBias);
  const norm = (y: string, count: number): Operation[] => {
    if (!variant.queryKeyNorm) return [];
    const groups = variant.queryKeyNorm === "head" ? count : 1;
    return [{ ...gatedNorm(layers, y, y, `${layer}.self_attn.${y}_norm`, (count * headDim) / groups), groups }];
  };
  return [
    ...[project("q", heads), project("k", kvHeads), project("v", kvHeads)],
    ...[...norm("q", heads), ...norm("k", kvHeads)],
    {
      ...({ op: "attention", y: "attended", q: "q", k: "k", v: "v", shape } as const),
      ...{ positions: layers.positions(index), window: variant.window?.(index) },
    },
  ];
}

/** gate = activation(gate of x) · up of x */
function feed({ weights, variant, hidden, inner }: GatedLayers, layer: string, x: string): Operation[] {
  return [
    weights.linear("gate", x, `${layer}.mlp.gate_proj`, inner, hidden, variant.mlpBias),
    weights.linear("up", x, `${layer}.mlp.up_proj`, inner, hidden, variant.mlpBias),
    { op: variant.activation ?? "siluMul", y: "gate", a: "gate", b: "up" },
  ];
}
