/** Damage to configs and weights. */
import { cases, config, cut, file, LLAMA, tensor } from "./case.ts";
import { CONFIG, WEIGHTS } from "./draft.ts";
import { spoilTensor } from "./non_finite.ts";

const NORM = "model.layers.1.input_layernorm.weight";
const TABLE = "model.embed_tokens.weight";

export const CONFIG_CASES = cases(LLAMA, [
  [
    "!1e9 layers",
    config({ num_hidden_layers: 1e9 }),
    /num_hidden_layers: expected a whole number from 1 to 1024, found 1000000000$/,
  ],
  [
    "more layers than are stored",
    config({ num_hidden_layers: 1024 }),
    /: expected a tensor model\.layers\.2\.input_layernorm\.weight, found none$/,
  ],
  [
    "!heads that do not divide",
    config({ num_attention_heads: 3 }),
    /num_attention_heads: expected a multiple of num_key_value_heads \(2\), found 3$/,
  ],
  [
    "!a negative size",
    config({ hidden_size: -32 }),
    /hidden_size: expected a whole number from 1 to 1048576, found -32$/,
  ],
  [
    "no heads",
    config({ num_attention_heads: 0 }),
    /num_attention_heads: expected a whole number from 1 to 4096, found 0$/,
  ],
  [
    "heads of half a million dimensions",
    config({ head_dim: 2 ** 20 }),
    /head_dim: expected a whole number from 1 to \d+, found 1048576$/,
  ],
  [
    "a size beyond 2^53",
    config({ intermediate_size: 1e300 }),
    /intermediate_size: expected a whole number from 1 to 1048576, found 1e\+300$/,
  ],
  ["a size in words", config({ vocab_size: "61" }), /vocab_size: expected a whole number from 1 to 2097152, found 61$/],
  [
    "a list for a number",
    config({ rms_norm_eps: [1e-6] }),
    /rms_norm_eps: expected a number above 0, found \[0\.000001\]$/,
  ],
  [
    "a RoPE factor so small that frequencies overflow",
    config({ rope_parameters: { rope_type: "linear", factor: 5e-324 } }),
    /factor: expected a number above 0, found 5e-324$/,
  ],
  ["an unknown key", config({ mystery: 1 }), /mystery: expected a key that this kind of model has, found 1$/],
  [
    "!a key of several lines",
    config({ "a\nerror: b\u2028\u001b[31m": 1 }),
    /a error: b \[31m: expected a key that this kind of model has, found 1$/,
  ],
  [
    "a key as long as a book",
    config({ ["k".repeat(1e6)]: 1 }),
    /k\.\.\.: expected a key that this kind of model has, found 1$/,
  ],
  [
    "a key that is a prototype",
    (draft) => draft.setJson(CONFIG, JSON.parse('{"model_type":"llama","__proto__":{"vocab_size":61}}')),
    /__proto__: expected a key that this kind of model has, found \{"vocab_size":61\}$/,
  ],
  [
    "an inherited type",
    config({ model_type: "constructor" }),
    /model_type: expected one of gemma2, .*, found constructor$/,
  ],
  [
    "!no JSON",
    file(CONFIG, '{"model_type": "llama",}'),
    /config\.json: line 1, column 24: expected a key in double quotes, found \}$/,
  ],
  [
    "an infinite number",
    file(CONFIG, '{"model_type": "llama", "vocab_size": 1e999}'),
    /vocab_size: expected a whole number from 1 to 2097152, found Infinity$/,
  ],
  [
    "100000 brackets",
    file(CONFIG, `{"a":${"[".repeat(100_000)}`),
    /config\.json: line 1, column 132: expected at most 127 nested values, found \[+$/,
  ],
  ["an empty config", file(CONFIG, ""), /config\.json: line 1, column 1: expected a JSON object, found the end$/],
  ["!a directory for the config", file(CONFIG, "directory"), /config\.json: expected a file, found a directory$/],
  [
    "a directory for the generation config",
    file("generation_config.json", "directory"),
    /generation_config\.json: expected a file, found a directory$/,
  ],
  [
    "a temperature that is a word",
    (draft) => draft.setJson("generation_config.json", { do_sample: true, temperature: "hot" }),
    /generation_config\.json: temperature: expected a number above 0, or 0 for greedy choice, found hot$/,
  ],
]);

export const WEIGHT_CASES = cases(LLAMA, [
  [
    "!a header with a hole in its JSON",
    (draft) => draft.edit((files) => void files.set(WEIGHTS, (files.get(WEIGHTS) as Uint8Array).with(9, 0))),
    /header: line 1, column 2: expected a key in double quotes, found /,
  ],
  [
    "!offsets outside the file",
    (draft) => void Object.assign(draft.tensors().at(-1) as object, { offsets: [1e9, 1e9 + 128] }),
    /model\.norm\.weight: expected data_offsets from \d+ on \(no hole\), found 1000000000$/,
  ],
  [
    "a tensor far longer than the file",
    (draft) => void Object.assign(draft.tensors().at(-1) as object, { shape: [1e9], offsets: [75_904, 75_904 + 4e9] }),
    /model\.safetensors: expected 40000\d+ bytes by its header, found \d{5}$/,
  ],
  [
    "!tensors that overlap",
    tensor(TABLE, (_, all) => Object.assign(all[1] as object, { offsets: [0, 128] })),
    /: expected data_offsets from \d+ on \(no overlap\), found 0$/,
  ],
  [
    "offsets in reverse",
    tensor(NORM, (one) => Object.assign(one, { offsets: [128, 0] })),
    /input_layernorm\.weight: expected data_offsets \[begin, end\], found \[128,0\]$/,
  ],
  [
    "!a wrong shape",
    tensor(TABLE, (one) => Object.assign(one, { shape: [32, 61] })),
    /model\.embed_tokens\.weight: expected shape \[61,32\], found \[32,61\]$/,
  ],
  [
    "a shape of a thousand dimensions",
    tensor(NORM, (one) => Object.assign(one, { shape: [32, ...new Array(1000).fill(1)] })),
    /input_layernorm\.weight: expected shape \[32\], found \[32,1,1,[1,]*\.\.\.$/,
  ],
  [
    "a shape of 2^64 bytes",
    tensor(NORM, (one) => Object.assign(one, { shape: [2 ** 32, 2 ** 32] })),
    /input_layernorm\.weight: expected a shape below 2\^64 bits, found \[4294967296,4294967296\]$/,
  ],
  [
    "!a missing tensor",
    tensor(NORM, (one, all) => all.splice(all.indexOf(one), 1)),
    /: expected a tensor model\.layers\.1\.input_layernorm\.weight, found none$/,
  ],
  [
    "a tensor of integers",
    tensor(NORM, (one) => Object.assign(one, { dtype: "I32" })),
    /input_layernorm\.weight: expected a type of F32, BF16, F16, F64, found I32$/,
  ],
  [
    "a tensor of no dtype",
    tensor(NORM, (one) => Object.assign(one, { dtype: "F33" })),
    /input_layernorm\.weight: expected a dtype of the format \(F32, BF16, \.\.\.\), found F33$/,
  ],
  [
    "!a NaN",
    tensor(TABLE, (one) => spoilTensor(one, 0.5, 2)),
    /model\.embed_tokens\.weight\[30,16\]: expected a finite number, found NaN$/,
  ],
  [
    "an infinity in a vector",
    tensor(NORM, (one) => spoilTensor(one, 0.99, 1)),
    /input_layernorm\.weight\[31\]: expected a finite number, found -Infinity$/,
  ],
  [
    "!weights that end in their data",
    cut(WEIGHTS, 50_000),
    /model\.safetensors: expected \d+ bytes by its header, found 50000$/,
  ],
  [
    "weights that end in their header",
    cut(WEIGHTS, 100),
    /model\.safetensors: expected a header of at most 92 bytes, found \d+$/,
  ],
  [
    "weights that end in their first number",
    cut(WEIGHTS, 7),
    /model\.safetensors: expected at least 8 bytes, found 7$/,
  ],
  ["empty weights", cut(WEIGHTS, 0), /model\.safetensors: expected at least 8 bytes, found 0$/],
  [
    "a header of 2^63 bytes",
    file(WEIGHTS, new Uint8Array([0, 0, 0, 0, 0, 0, 0, 128, 123])),
    /expected a header of at most 1 bytes, found 9223372036854775808$/,
  ],
  [
    "a directory for the weights",
    file(WEIGHTS, "directory"),
    /model\.safetensors: expected a file, found a directory$/,
  ],
  [
    "no weights",
    file(WEIGHTS, undefined),
    /: expected model\.safetensors or model\.safetensors\.index\.json, found neither$/,
  ],
]);
