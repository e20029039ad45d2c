/** What the name of a model means: ids, addresses that people copy from the hub, files. */
import { expect, test } from "bun:test";
import { OptionError } from "../../src/base/errors.ts";
import { folderOf, foreignFile, hubModel, hubModelAt } from "../../src/sources/model_id.ts";

const MIRROR = "http://nexus.test:8081/repository/hf";

test.each([
  ["gpt2", "gpt2", undefined, ""],
  ["org/name", "org/name", undefined, ""],
  ["org/name.v1-x", "org/name.v1-x", undefined, ""],
  ["org/name@v1.0", "org/name", "v1.0", ""],
  ["gpt2@refs/pr/7", "gpt2", "refs/pr/7", ""],
  ["hf://org/name", "org/name", undefined, ""],
  ["hf://models/org/name/", "org/name", undefined, ""],
  ["hf://org/name@v1", "org/name", "v1", ""],
  ["hf://org/name@v1/a/b", "org/name", "v1", "a/b"],
  ["hf://org/name@refs/pr/3/a", "org/name", "refs/pr/3", "a"],
  ["hf://org/name@feature%2Fx/a", "org/name", "feature/x", "a"],
  ["hf://org/name/a/config.json", "org/name", undefined, "a"],
  ["https://huggingface.co/org/name", "org/name", undefined, ""],
  ["http://www.huggingface.co/org/name/?library=transformers#files", "org/name", undefined, ""],
  ["https://huggingface.co/gpt2", "gpt2", undefined, ""],
  ["https://huggingface.co/gpt2/tree/main", "gpt2", "main", ""],
  ["https://hf.co/org/name", "org/name", undefined, ""],
  ["hf.co/org/name", "org/name", undefined, ""],
  ["huggingface.co/org/name/tree/v2/a", "org/name", "v2", "a"],
  ["https://huggingface.co/org/name/tree/main", "org/name", "main", ""],
  ["https://huggingface.co/org/name/tree/main/a/b/", "org/name", "main", "a/b"],
  ["https://huggingface.co/org/name/tree/refs%2Fpr%2F3/a%20b", "org/name", "refs/pr/3", "a b"],
  ["https://huggingface.co/org/name/tree/refs/pr/3/a", "org/name", "refs/pr/3", "a"],
  ["https://huggingface.co/org/name/blob/main/config.json", "org/name", "main", ""],
  ["https://huggingface.co/org/name/blob/v1/a/model-00001-of-00002.safetensors", "org/name", "v1", "a"],
  ["https://huggingface.co/org/name/resolve/main/", "org/name", "main", ""],
  ["https://huggingface.co/org/name/resolve/main/model.safetensors?download=true", "org/name", "main", ""],
  ["https://huggingface.co/org/name/raw/0123abc/tokenizer.json", "org/name", "0123abc", ""],
  [`${MIRROR}/org/name/tree/v1`, "org/name", "v1", ""],
  [`${MIRROR}/org/name/`, "org/name", undefined, ""],
])("%s", (text, id, revision, folder) => {
  expect(hubModel(text, MIRROR)).toEqual({ id, folder, ...(text === id ? {} : { revision }) });
});

test.each([
  ...[
    "./org/name",
    "/org/name",
    "~/name",
    "a/b/c",
    "a/b/c@v1",
    "org/name@a/b",
    "C:\\models\\x",
    "models\\x",
    "org/name/",
  ],
  ...["model.gguf", "org/model.safetensors", "pytorch_model.bin", "x.onnx", "x.pt", "x.zip", "org/name@", "@v1", ""],
  ...["https://example.com/org/name", "http://nexus.test/repository/hf/org/name", "http://nexus.test:8081/org/name"],
  ...[`${MIRROR}/org/name/other/x`, `${MIRROR}2/org/name`, "s3://bucket/name", "https://huggingface.co.test/org/name"],
])("%s is no model on the hub", (text) => {
  expect(hubModel(text, MIRROR)).toBeUndefined();
});

test.each([
  "https://huggingface.co/",
  "https://huggingface.co/datasets/org/name",
  "https://huggingface.co/spaces/org/name/tree/main",
  "https://huggingface.co/org/name/discussions/3",
  "https://huggingface.co/org/name/commit/0123abc?token=SECRET",
  "https://huggingface.co/org/name/tree/main/..%2Fx",
  "hf://datasets/org/name",
  "hf://org/name@",
  "hf://org/name/../x",
  "hf://",
  "https://huggingface.co/org/name/resolve/main/onnx/model.onnx",
])("%s is refused by name", (text) => {
  const refused = () => hubModel(text);
  expect(refused).toThrow(OptionError);
  expect(refused).toThrow(/^model: expected .*, found [^?]*$/);
});

test.each([
  ["org/name:Q4_K_M", "org/name", undefined, { quantization: "Q4_K_M" }],
  ["org/name@v1:Q8_0", "org/name", "v1", { quantization: "Q8_0" }],
  ["hf.co/org/name:UD-Q4_K_XL", "org/name", undefined, { quantization: "UD-Q4_K_XL" }],
  ["hf://org/name:bf16", "org/name", undefined, { quantization: "bf16" }],
  ["hf://org/name@v1/x.gguf", "org/name", "v1", { file: "x.gguf" }],
  ["https://huggingface.co/org/name/blob/main/x%20y.Q4_K_M.gguf", "org/name", "main", { file: "x y.Q4_K_M.gguf" }],
  ["https://huggingface.co/org/name/resolve/main/x.gguf?download=true", "org/name", "main", { file: "x.gguf" }],
])("%s: a GGUF file", (text, id, revision, more) => {
  expect(hubModel(text, MIRROR)).toEqual({ id, revision, folder: "", ...more });
});

test("a file beside the name", () => {
  expect(hubModelAt("org/name", { file: "x.gguf" })).toMatchObject({ id: "org/name", file: "x.gguf" });
  expect(() => hubModelAt("org/name:Q4_0", { file: "x.gguf" })).toThrow(
    new OptionError("file: expected none beside org/name:Q4_0, found x.gguf"),
  );
  expect(() => hubModelAt("hf://org/name/y.gguf", { file: "x.gguf" })).toThrow(
    new OptionError("file: expected y.gguf, as hf://org/name/y.gguf says, or none, found x.gguf"),
  );
});

test("a revision in the name and one beside it are the same, or an error", () => {
  const page = "https://huggingface.co/org/name/tree/v1";
  expect(hubModelAt(page, { revision: "v1" })?.revision).toBe("v1");
  expect(hubModelAt(page, {})?.revision).toBe("v1");
  expect(hubModelAt("org/name", { revision: "v2" })?.revision).toBe("v2");
  expect(() => hubModelAt(`${page}?x=1`, { revision: "v2" })).toThrow(
    new OptionError(`revision: expected v1, as ${page} says, or none, found v2`),
  );
});

test("one of a model's files stands for its directory; weights of others are named", () => {
  for (const name of [
    "x.Q4_K_M.GGUF",
    "config.json",
    "model.safetensors",
    "model-00002-of-00010.safetensors",
    "tokenizer.model",
  ]) {
    expect(folderOf(`/a/b/${name}`)).toBe("/a/b/");
    expect(folderOf(`a\\b\\${name}`)).toBe("a\\b\\");
    expect(folderOf(name)).toBe("");
  }
  for (const path of ["/a/config.json/", "/a/myconfig.json", "/a/notes.txt", "/a/v1.5"])
    expect(folderOf(path)).toBe(path);
  const kinds: [string, RegExp][] = [
    ["x.ggml", /before GGUF/],
    ["adapter_model.safetensors", /another name/],
    ["pytorch_model.bin", /save_pretrained/],
    ["x.ckpt", /PyTorch/],
    ["model.onnx", /another format/],
    ["model.tar.gz", /archive/],
  ];
  for (const [name, kind] of kinds) {
    expect(foreignFile(`a/${name}`)).toMatch(kind);
    expect(() => folderOf(`a/${name}`)).toThrow(kind);
  }
});
