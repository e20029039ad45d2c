/** What a name means on a host with files: directories, files in them, and paths that lead nowhere. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import "../../src/entry/index.ts";
import { load, OptionError } from "../../src/entry/index.ts";
import { currentRuntime } from "../../src/runtime/index.ts";
import { expandHome } from "../../src/sources/hub_options.ts";
import { FIXTURES, MODELS } from "../setup.ts";

const MODEL = join(MODELS, "lambent-llama-5m");
const SHARDED = join(FIXTURES, "llama-sharded");
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lambent-place-"));
  for (const name of ["model.Q4_K_M.gguf", "pytorch_model.bin", "adapter_model.safetensors", "notes.txt"])
    writeFileSync(join(folder, name), "x");
  mkdirSync(join(folder, "model.gguf"));
  mkdirSync(join(folder, "org@v1"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const find = async (where: string, options = {}) => (await currentRuntime()).find(where, options);

test("a directory, whatever its name, and the files of a model in it", async () => {
  expect((await find(MODEL)).name).toBe(MODEL);
  expect((await find(pathToFileURL(MODEL).href)).name).toBe(MODEL);
  expect((await find(join(folder, "model.gguf"))).name).toBe(join(folder, "model.gguf"));
  expect((await find(relative(process.cwd(), MODEL))).name).toBe(relative(process.cwd(), MODEL));
  for (const file of ["model.safetensors", "config.json", "tokenizer.json"]) {
    expect((await find(join(MODEL, file))).name).toBe(MODEL);
    expect((await find(pathToFileURL(join(MODEL, file)).href)).name).toBe(MODEL);
  }
  expect((await find(join(SHARDED, "model.safetensors.index.json"))).name).toBe(SHARDED);
  const gguf = await find(join(folder, "model.Q4_K_M.gguf"));
  expect([gguf.name, gguf.file]).toEqual([folder, "model.Q4_K_M.gguf"]);
  expect((await find(folder, { file: "model.Q4_K_M.gguf" })).file).toBe("model.Q4_K_M.gguf");
  expect(find(join(folder, "model.Q4_K_M.gguf"), { file: "other.gguf" })).rejects.toThrow(
    new OptionError("file: expected model.Q4_K_M.gguf, which was named, or none, found other.gguf"),
  );
  const model = await load(join(MODEL, "model.safetensors"), { threads: 1 });
  expect(model.info.model).toBe(join(MODEL, "model.safetensors"));
  model.dispose();
});

test("a directory of the working directory comes before the hub", async () => {
  const before = process.cwd();
  try {
    process.chdir(folder);
    expect((await find("org@v1")).name).toBe("org@v1");
    cpSync(join(MODEL, "config.json"), "config.json");
    expect((await find("config.json")).name).toBe(".");
  } finally {
    process.chdir(before);
  }
});

test("a leading ~ is the home directory", async () => {
  expect(expandHome("~")).toBe(homedir());
  expect(expandHome("~/a/b")).toBe(join(homedir(), "a/b"));
  for (const path of ["a/~", "~a/b", "./~"]) expect(expandHome(path)).toBe(path);
  expect((await find("~")).name).toBe(homedir());
});

test("files that are something else say what they are", async () => {
  const kinds: [string, RegExp][] = [
    ["pytorch_model.bin", /\(weights of PyTorch: convert them with save_pretrained of transformers\)$/],
    ["adapter_model.safetensors", /\(safetensors by another name\)$/],
    ["notes.txt", /^model: expected a directory, .*notes\.txt \(a file\)$/],
  ];
  for (const [name, message] of kinds) {
    expect(find(join(folder, name))).rejects.toThrow(OptionError);
    expect(find(join(folder, name))).rejects.toThrow(message);
  }
});

test("paths that lead nowhere are paths, and no request is made for them", async () => {
  const before = globalThis.fetch;
  let asked = 0;
  globalThis.fetch = (async () => {
    asked++;
    throw new TypeError("no network");
  }) as unknown as typeof fetch;
  try {
    for (const where of [
      ...[
        "./missing",
        "../missing",
        "/missing/model",
        "~/missing/model",
        "~",
        "models/a/b",
        "org/name/",
        "C:\\models\\x",
      ],
      ...[
        "models\\x",
        "C:/models/x",
        "file:///missing/model",
        "s3://bucket/x",
        "ftp://host/x",
        "",
        " ",
        "a b",
        "org/name@",
      ],
    ].filter((where) => where !== "~")) {
      expect(await find(where).catch((error) => `${error}`)).toMatch(
        /^OptionError: model: expected a directory, a GGUF file, a URL/,
      );
    }
    for (const [where, found] of [
      ["/missing/model", "no directory /missing/model"],
      ["C:\\models\\x", "no directory C:\\models\\x"],
      ["", 'no directory ""'],
      ["s3://bucket/x", "s3://bucket/x"],
    ] as const)
      expect(await find(where).catch((error) => `${error}`)).toEndWith(`org/name, found ${found}`);
    for (const where of ["model.gguf", "models/foo.gguf"])
      expect(await find(where).catch((error) => `${error}`)).toEndWith(`org/name, found no file ${where}`);
    for (const where of ["pytorch_model.bin", "x/y.onnx", "./x.pt"]) {
      expect(await find(where).catch((error) => `${error}`)).toMatch(
        /^OptionError: model: expected a directory with config\.json .*, found no file .* \(it would be /,
      );
    }
    for (const where of ["config.json", "x/model.safetensors"])
      expect(await find(where).catch((error) => `${error}`)).toMatch(/^OptionError: model: expected a directory, /);
    expect(await find("file://host/%2F").catch((error) => `${error}`)).toMatch(
      /^OptionError: model: expected a file URL/,
    );
    expect(asked).toBe(0);
  } finally {
    globalThis.fetch = before;
  }
});
