import {
  addFloats,
  addInts,
  addLinear,
  addNode,
  addNoise,
  emptyGraph,
  INT32,
  INT64,
  type Linear,
  MICROSOFT,
  value,
  writeModel,
} from "./onnx.ts";
import type { Config } from "./shapes.ts";

/**
 * A LLaMA with random weights as an ONNX graph that transformers.js can generate with: its inputs and outputs are those
 * of the models on the hub, and so are its operators (GroupQueryAttention, MatMulNBits, SimplifiedLayerNormalization).
 * Logits are those of the last token only.
 */
export function writeOnnxLlama(path: string, config: Config, linear: Linear): void {
  const size = (key: string) => config[key] as number;
  const dim = size("hidden_size");
  const inner = size("intermediate_size");
  const heads = size("num_attention_heads");
  const kvHeads = size("num_key_value_heads");
  const headDim = dim / heads;
  const positions = size("max_position_embeddings");
  const layers = size("num_hidden_layers");
  const vocab = size("vocab_size");
  const epsilon = { float: size("rms_norm_eps") };

  const graph = emptyGraph();
  const project = (y: string, x: string, rows: number, columns: number) =>
    addLinear(graph, linear, y, x, rows, columns);
  const norm = (y: string, x: string) => {
    addFloats(graph, `${y}.weight`, [dim], new Float32Array(dim).fill(1));
    addNode(graph, "SimplifiedLayerNormalization", [x, `${y}.weight`], [y], { axis: -1, epsilon, stash_type: 1 });
  };
  const add = (y: string, a: string, b: string) => addNode(graph, "Add", [a, b], [y]);

  graph.inputs.push(
    value("input_ids", ["batch_size", "sequence_length"], INT64),
    value("attention_mask", ["batch_size", "total_sequence_length"], INT64),
  );
  graph.outputs.push(value("logits", ["batch_size", 1, vocab]));
  rotations(positions, headDim).forEach((table, i) => {
    addFloats(graph, ["cos", "sin"][i] as string, [positions, headDim / 2], table);
  });
  // How many keys there are: of every sequence less one, and of the longest.
  addInts(graph, "one", [1]);
  addInts(graph, "last", [-1]);
  addNode(graph, "ReduceSum", ["attention_mask", "one"], ["lengths"], { keepdims: 0 });
  addNode(graph, "Sub", ["lengths", "one"], ["lengths_less_one"]);
  addNode(graph, "Cast", ["lengths_less_one"], ["seqlens_k"], { to: INT32 });
  addNode(graph, "ReduceMax", ["lengths"], ["longest"], { keepdims: 0 });
  addNode(graph, "Cast", ["longest"], ["total_length"], { to: INT32 });

  addNoise(graph, "embed.weight", 1, [vocab, dim], linear.floats);
  addNode(graph, "Gather", ["embed.weight", "input_ids"], ["hidden.0"]);
  for (let i = 0; i < layers; i++) {
    const at = (name: string) => `${name}.${i}`;
    const cache = ["key", "value"].map((part) => [`past_key_values.${i}.${part}`, `present.${i}.${part}`] as const);
    for (const [past, present] of cache) {
      graph.inputs.push(value(past, ["batch_size", kvHeads, "past_sequence_length", headDim]));
      graph.outputs.push(value(present, ["batch_size", kvHeads, "total_sequence_length", headDim]));
    }
    norm(at("normed"), at("hidden"));
    project(at("q"), at("normed"), dim, dim);
    project(at("k"), at("normed"), kvHeads * headDim, dim);
    project(at("v"), at("normed"), kvHeads * headDim, dim);
    addNode(
      graph,
      "GroupQueryAttention",
      [at("q"), at("k"), at("v"), ...cache.map(([past]) => past), "seqlens_k", "total_length", "cos", "sin"],
      [at("attended"), ...cache.map(([, present]) => present)],
      { num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1 },
      MICROSOFT,
    );
    project(at("attention"), at("attended"), dim, dim);
    add(at("middle"), at("hidden"), at("attention"));
    norm(at("mlp_normed"), at("middle"));
    project(at("gate"), at("mlp_normed"), inner, dim);
    project(at("up"), at("mlp_normed"), inner, dim);
    addNode(graph, "Sigmoid", [at("gate")], [at("sigmoid")]);
    addNode(graph, "Mul", [at("gate"), at("sigmoid")], [at("silu")]);
    addNode(graph, "Mul", [at("silu"), at("up")], [at("gated")]);
    project(at("mlp"), at("gated"), dim, inner);
    add(`hidden.${i + 1}`, at("middle"), at("mlp"));
  }
  addNode(graph, "Gather", [`hidden.${layers}`, "last"], ["last_hidden"], { axis: 1 });
  norm("final_normed", "last_hidden");
  project("logits", "final_normed", vocab, dim);
  writeModel(path, graph);
}

/** cos and sin of every angle, [positions][headDim / 2] each. */
function rotations(positions: number, headDim: number): Float32Array[] {
  const half = headDim / 2;
  return [Math.cos, Math.sin].map((turn) =>
    Float32Array.from({ length: positions * half }, (_, i) =>
      turn(Math.floor(i / half) * 10000 ** (-(i % half) / half)),
    ),
  );
}
