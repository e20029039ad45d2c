import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { ByteSource, Files } from "../../src/base/source.ts";
import { type Checkpoint, openDirectory } from "../../src/formats/checkpoint.ts";
import { safetensorsHeader } from "../../src/formats/safetensors.ts";
import { directoryFiles, MemoryFiles, modelError } from "./files.ts";

const CONFIG = { model_type: "llama", hidden_size: 4 };

/** A weights file of one-byte tensors: each holds its name's first character. */
function weights(...names: string[]): Uint8Array {
  const header = safetensorsHeader(names.map((name) => ({ name, dtype: "U8", shape: [1] })));
  return new Uint8Array([...header, ...names.map((name) => name.charCodeAt(0))]);
}

const shards = { "model-1.safetensors": weights("a", "b"), "model-2.safetensors": weights("c") };
const map = { a: "model-1.safetensors", b: "model-1.safetensors", c: "model-2.safetensors" };
const sharded = (weight_map: unknown, files: object = shards) =>
  new MemoryFiles({ "config.json": CONFIG, "model.safetensors.index.json": { metadata: {}, weight_map }, ...files });

/** The error of a checkpoint that cannot be opened; nothing of it may be open afterwards. */
async function refused(files: MemoryFiles): Promise<string> {
  const message = await modelError(() => openDirectory(files));
  expect(files.current).toBe(0);
  return message;
}

async function firstBytes({ tensors }: Checkpoint): Promise<string> {
  const target = new Uint8Array(1);
  let text = "";
  for (const { source, begin } of tensors.values()) {
    await source.readInto(target, begin);
    text += String.fromCharCode(target[0]!);
  }
  return text;
}

describe("a checkpoint in one file", () => {
  test("is opened, read and closed", async () => {
    const generation = { temperature: 0.5 };
    const tokenizer = '\ufeff{"é": 1}';
    const files = new MemoryFiles({
      ...{ "config.json": CONFIG, "generation_config.json": generation, "tokenizer.json": tokenizer },
      "model.safetensors": weights("b", "a"),
    });
    const checkpoint = await openDirectory(files);
    expect(files.current).toBe(1);
    expect(checkpoint.name).toBe("dir");
    expect(checkpoint.config).toEqual(CONFIG);
    expect(checkpoint.generationConfig).toEqual(generation);
    expect(await firstBytes(checkpoint)).toBe("ba");
    expect(await checkpoint.bytes("tokenizer.json")).toEqual(new TextEncoder().encode(tokenizer));
    expect(await checkpoint.bytes("merges.txt")).toBeUndefined();
    expect(files.current).toBe(1);
    await checkpoint.close();
    await checkpoint.close();
    expect(files.current).toBe(0);
  });

  test("wins over an index, which may then be anything", async () => {
    const files = sharded(5, { "model.safetensors": weights("z") });
    const checkpoint = await openDirectory(files);
    expect([...checkpoint.tensors.keys()]).toEqual(["z"]);
    expect(checkpoint.generationConfig).toEqual({});
    await checkpoint.close();
    expect(files.current).toBe(0);
  });

  const nothing = "dir: expected model.safetensors or model.safetensors.index.json, found";
  const bin = "(convert it with save_pretrained of transformers)";
  const one = { "model.safetensors": weights("a") };
  const cases: [string, Record<string, string | object | Uint8Array>, string][] = [
    ["nothing", {}, `${nothing} none of them, nor config.json (is this a Hugging Face checkpoint?)`],
    ["no config", one, "dir: expected config.json in the same folder as the weights, found no such file"],
    ["no weights", { "config.json": {} }, `${nothing} neither`],
    ["weights of torch", { "config.json": {}, "pytorch_model.bin": "x" }, `${nothing} pytorch_model.bin ${bin}`],
    [
      "an adapter",
      { "config.json": {}, "adapter_model.safetensors": weights("a") },
      `${nothing} adapter_model.safetensors (an adapter: merge it into its model with merge_and_unload of peft)`,
    ],
    [
      "shards of torch",
      { "config.json": {}, "pytorch_model.bin.index.json": "x" },
      `${nothing} pytorch_model.bin.index.json ${bin}`,
    ],
    ["a config list", { "config.json": [] }, "dir/config.json: line 1, column 1: expected a JSON object, found []"],
    [
      "a config that ends early",
      { "config.json": '{\n "a": 1' },
      "dir/config.json: line 2, column 8: expected ',' or '}', found the end",
    ],
    [
      "a config that is no text",
      { "config.json": new Uint8Array([0x7b, 0xff, 0x7d]) },
      "dir/config.json: expected UTF-8 text, found bytes that are not",
    ],
    [
      "an empty generation config",
      { "config.json": {}, "generation_config.json": "", ...one },
      "dir/generation_config.json: line 1, column 1: expected a JSON object, found the end",
    ],
    [
      "weights cut short",
      { "config.json": {}, "model.safetensors": weights("a").slice(0, -1) },
      "dir/model.safetensors: expected 65 bytes by its header, found 64",
    ],
  ];
  test.each(cases)("is refused: %s", async (_, contents, message) => {
    expect(await refused(new MemoryFiles(contents))).toBe(message);
  });

  test("files above their limits are refused before they are read", async () => {
    const big = (file: string, size: number): Files => ({
      name: "dir",
      async open(name) {
        const source = await new MemoryFiles({ "config.json": {}, "model.safetensors": weights("a") }).open(name);
        const readInto = () => Promise.reject(new Error("read"));
        return name === file ? { name: `dir/${file}`, size, readInto, close: async () => {} } : source;
      },
    });
    expect(await modelError(() => openDirectory(big("config.json", 10_000_001)))).toBe(
      "dir/config.json: expected at most 10000000 bytes, found 10000001",
    );
    const checkpoint = await openDirectory(big("tokenizer.json", 256_000_001));
    expect(await modelError(() => checkpoint.bytes("tokenizer.json"))).toBe(
      "dir/tokenizer.json: expected at most 256000000 bytes, found 256000001",
    );
  });
});

describe("a checkpoint in shards", () => {
  test("is opened, read and closed", async () => {
    const files = sharded(map);
    const checkpoint = await openDirectory(files);
    expect(files.current).toBe(2);
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect(await firstBytes(checkpoint)).toBe("abc");
    expect(checkpoint.tensors.get("c")!.source.name).toBe("dir/model-2.safetensors");
    await checkpoint.close();
    expect(files.current).toBe(0);
  });

  const [one, two] = ["model-1.safetensors", "model-2.safetensors"];
  test.each([
    ["leaves a tensor out", { a: one, c: two }],
    ["names one that no shard has", { ...map, "d\n": two }],
    ["places one wrongly", { ...map, a: two }],
    ["places all wrongly", { a: two, b: two, c: one }],
    ["names none that there is", { d: one, e: two }],
  ])("holds what its shards hold, as in transformers, where the index %s", async (_, weightMap) => {
    const checkpoint = await openDirectory(sharded(weightMap));
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect(await firstBytes(checkpoint)).toBe("abc");
  });

  test.each([
    ["absent", {}],
    ["null", { metadata: null }],
    ["odd", { metadata: [1], other: { total_size: "x" } }],
    ["wrong", { metadata: { total_size: -1 } }],
  ])("an index's metadata may be %s", async (_, rest) => {
    const files = sharded(map, { ...shards, "model.safetensors.index.json": { ...rest, weight_map: map } });
    expect((await openDirectory(files)).tensors.size).toBe(3);
  });

  test("the last shard counts where a tensor is in two, and the last line where the index has two", async () => {
    const files = sharded(map, { ...shards, [two]: weights("c", "a") });
    const { tensors } = await openDirectory(files);
    expect([...tensors].map(([name, { source }]) => `${name} ${source.name}`)).toEqual([
      ...[`b dir/${one}`, `c dir/${two}`, `a dir/${two}`],
    ]);
    const text = `{"weight_map":{"a":"../none","b":"${one}","c":"${two}","a":"${two}"}}`;
    const twice = sharded(map, { ...shards, "model.safetensors.index.json": text });
    expect((await openDirectory(twice)).tensors.size).toBe(3);
  });

  test("shards may lie in folders of the checkpoint's", async () => {
    const files = sharded(
      { a: "part_1/model.safetensors", c: "x/y/model-2.safetensors" },
      {
        "part_1/model.safetensors": weights("a"),
        "x/y/model-2.safetensors": weights("c"),
      },
    );
    const checkpoint = await openDirectory(files);
    expect(await firstBytes(checkpoint)).toBe("ac");
    expect(checkpoint.tensors.get("c")?.source.name).toBe("dir/x/y/model-2.safetensors");
  });

  const index = "dir/model.safetensors.index.json";
  test.each([
    [undefined, `${index}: weight_map: expected an object of file names, found undefined`],
    [[], `${index}: weight_map: expected an object of file names, found []`],
    ["model-1.safetensors", `${index}: weight_map: expected an object of file names, found model-1.safetensors`],
    [{}, `${index}: weight_map: expected at least one tensor, found none`],
    ...[
      1,
      null,
      ["model-1.safetensors"],
      "",
      ".",
      "..",
      "../x",
      "/x",
      "a/",
      "a//b",
      "a/../b",
      "a/./b",
      "./a",
      "a\\b",
      "C:x",
      "a?b",
      "a%2fb",
      "a\0",
      "~",
    ].map((shard): [unknown, string] => {
      const shown = typeof shard === "string" ? shard.replace("\0", " ") : JSON.stringify(shard);
      return [{ ...map, b: shard }, `${index}: weight_map: b: expected a plain file name, found ${shown}`];
    }),
    [{ a: "a".repeat(256) }, `${index}: weight_map: a: expected a plain file name, found ${"a".repeat(117)}...`],
    [
      { ...map, d: "model-3.safetensors" },
      `${index}: expected shard model-3.safetensors in the same folder, found no such file`,
    ],
  ])("is refused: weight_map %j", async (weightMap, message) => {
    expect(await refused(sharded(weightMap))).toBe(message);
  });

  test("is refused: a damaged shard", async () => {
    const files = sharded(map, { ...shards, "model-2.safetensors": new Uint8Array(5) });
    expect(await refused(files)).toBe("dir/model-2.safetensors: expected at least 8 bytes, found 5");
  });
});

test("what fails while opening or closing is reported, and everything is closed all the same", async () => {
  const closed: string[] = [];
  const files = sharded(map);
  const breaking = (read: boolean): Files => ({
    name: "dir",
    async open(file) {
      const source = (await files.open(file)) as ByteSource;
      if (!source || !file.startsWith("model-")) return source;
      const close = async () => {
        closed.push(file);
        throw new Error(`close ${file}`);
      };
      if (!read || file !== "model-2.safetensors") return { ...source, close };
      return { ...source, close, readInto: () => Promise.reject(new Error("disk")) };
    },
  });
  await expect(openDirectory(breaking(true))).rejects.toThrow("disk");
  expect(closed).toEqual(["model-1.safetensors", "model-2.safetensors"]);
  const checkpoint = await openDirectory(breaking(false));
  closed.length = 0;
  await expect(checkpoint.close()).rejects.toThrow("close model-1.safetensors");
  expect(closed).toEqual(["model-1.safetensors", "model-2.safetensors"]);
});

describe("real checkpoints", () => {
  const root = join(import.meta.dir, "../..");
  const directories = ["models", "../shared/checkpoints"].flatMap((folder) => {
    const path = join(root, folder);
    const names = existsSync(path) ? readdirSync(path) : [];
    return names.map((name) => join(path, name)).filter((path) => existsSync(join(path, "config.json")));
  });
  test.each(directories.map((path) => [path.split("/").at(-1)!, path]))("%s", async (_, path) => {
    const checkpoint = await openDirectory(directoryFiles(path));
    expect(checkpoint.config).toEqual(JSON.parse(await Bun.file(join(path, "config.json")).text()));
    expect(checkpoint.tensors.size).toBeGreaterThan(10);
    expect(await checkpoint.bytes("tokenizer.json")).toEqual(await Bun.file(join(path, "tokenizer.json")).bytes());
    await checkpoint.close();
  });
  test("the embedded ones are there", () => expect(directories.length).toBeGreaterThanOrEqual(3));
});
