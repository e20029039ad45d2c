/** `quantize`: what it writes loads as the original does in that format, and nothing else is touched. */
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { QUANTIZED } from "../../src/base/dtype.ts";
import { load } from "../../src/entry/index.ts";
import { EMBEDDED, FAMILIES, removeTemporary, smallFolder, temporaryFolder } from "../session/small.ts";
import { FIXTURES, logitsOf, openEngine, ROOT } from "../setup.ts";
import { endChildren, good, lambent, start, statsOf } from "./run.ts";

setDefaultTimeout(60_000);
afterEach(endChildren);
afterAll(removeTemporary);

/** Files beside config and weights that belong to a model. */
const OTHERS = {
  "special_tokens_map.json": '{"eos_token":"</s>"}',
  "tokenizer_config.json": "{ }\n",
  "chat_template.jinja": "{{ messages[0].content }} é",
  "chat_template.json": '{"chat_template": "{{ messages }}"}',
  "added_tokens.json": "{}",
  "tokenizer.model": "\0\n",
  "vocab.json": "{}",
  "merges.txt": "#version\r\n",
};

function folderOf(fixture: string): string {
  const folder = smallFolder(fixture, { eos_token_id: [], max_new_tokens: 12 });
  for (const [name, text] of Object.entries(OTHERS)) writeFileSync(join(folder, name), text);
  return folder;
}

/** A path in a folder of its own at which there is nothing. */
const fresh = () => join(temporaryFolder(), "deep", "packed");

/** Runs what must fail; the line, without `error: `. */
async function mistake(args: readonly string[], code = 1): Promise<string> {
  const run = await lambent(args);
  expect(run).toEqual({ code, out: "", err: expect.stringMatching(/^(seed \d+\n)?error: [^\n]{1,400}\n$/) });
  return run.err.replace(/^(seed \d+\n)?error: /, "").trimEnd();
}

/** What a model says, greedily, and the hash of its logits. */
async function said(where: string, dtype?: (typeof QUANTIZED)[number]) {
  const model = await load(where, { dtype, nLocal: 8, nGlobal: 3, threads: 1 });
  const generation = model.generate("ab the no", { temperature: 0 });
  const text = await generation.text();
  const { logitsHash } = await generation.result;
  return { text, logitsHash, dtype: model.info.dtype, weightBytes: model.info.weightBytes };
}

describe.each([...FAMILIES])("%s", (fixture) => {
  test.each([...QUANTIZED])(
    "to %s: says what the original says in that format, and is else the same",
    async (dtype) => {
      const from = folderOf(fixture);
      const to = fresh();
      const run = await good(["quantize", from, to, "--dtype", dtype, "--threads", "2"]);
      expect(run.out).toBe("");
      expect(run.err).toMatch(new RegExp(`^${to}: ${dtype}, 0\\.\\d MiB\\n$`));

      const copied = ["generation_config.json", "tokenizer.json", ...Object.keys(OTHERS)];
      expect(readdirSync(to).sort()).toEqual(["config.json", "model.safetensors", ...copied].sort());
      for (const name of copied) expect(readFileSync(join(to, name)).equals(readFileSync(join(from, name)))).toBe(true);
      const config = (folder: string) => JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
      const quantization_config = { quant_method: "lambent", dtype, version: 1 };
      expect(config(to)).toEqual({ ...config(from), quantization_config });

      const wanted = await said(from, dtype);
      expect(wanted.dtype).toContain(dtype);
      expect(await said(to)).toEqual(wanted);
      expect(await said(to, dtype)).toEqual(wanted);
      // The format is seen in the logits.
      expect((await said(from)).logitsHash).not.toBe(wanted.logitsHash);
    },
  );
});

test("the embedded model by the command line, q8 by default: the same text and logits hash", async () => {
  const to = fresh();
  await good(["quantize", EMBEDDED, to]);
  const flags = ["generate", "Once upon a time", "-n", "12", "--seed", "7", "--stats", "json", "-m"];
  const packed = await good([...flags, to]);
  const original = await good([...flags, EMBEDDED, "--dtype", "q8"]);
  expect(packed.out).toBe(original.out);
  const [found, wanted] = [statsOf(packed), statsOf(original)];
  for (const key of ["logitsHash", "dtype", "weightBytes", "memoryBytes"] as const) {
    expect({ [key]: found[key] }).toEqual({ [key]: wanted[key] as string });
  }
  expect(found.dtype).toBe("q8");
});

test("shards become one file; a head stored beside its table becomes one tensor; nothing but the weights is needed", async () => {
  const ids = [1, 5, 9, 30, 2];
  for (const name of ["llama-sharded", "llama-tied-head-only", "mpt-bias", "qwen2", "llama-bf16"]) {
    const from = join(FIXTURES, name);
    const to = fresh();
    await good(["quantize", from, to, "--dtype", "q7"]);
    expect(readdirSync(to).sort()).toEqual(["config.json", "model.safetensors"]);
    const wanted = await logitsOf(await openEngine(from, { dtype: "q7" }), ids);
    expect(await logitsOf(await openEngine(to), ids)).toEqual(wanted);
  }
});

describe("of a model that is packed already", () => {
  const packed = join(temporaryFolder(), "q4");
  const made = good(["quantize", folderOf("gptj"), packed, "--dtype", "q4"]);

  test("the same format again is a copy, byte for byte", async () => {
    await made;
    const to = fresh();
    await good(["quantize", packed, to, "--dtype", "q4"]);
    const files = readdirSync(packed);
    expect(readdirSync(to).sort()).toEqual(files.sort());
    for (const name of files) expect(readFileSync(join(to, name)).equals(readFileSync(join(packed, name)))).toBe(true);
  });

  test("another format is refused, and nothing is written", async () => {
    await made;
    const refused = `dtype: expected auto or q4, which ${packed} is packed as, found q8`;
    const to = fresh();
    expect(await mistake(["quantize", packed, to, "--dtype", "q8"])).toBe(refused);
    expect(existsSync(to)).toBe(false);
    expect(await mistake(["generate", "ab", "-m", packed, "--dtype", "q8"])).toBe(refused);
    expect(await mistake(["inspect", "-m", packed, "--dtype", "q8"])).toBe(refused);
    expect(
      await mistake(["logits", "-m", packed, "--dtype", "f32", "--ids", "1", "--out", join(ROOT, "nowhere/x")]),
    ).toBe(refused.replace("q8", "f32"));
  });
});

describe("refused", () => {
  const FROM = join(FIXTURES, "gptj");

  test("a directory that is not empty, which is left as it is; an empty one is used", async () => {
    const to = temporaryFolder();
    writeFileSync(join(to, "notes.txt"), "mine");
    expect(await mistake(["quantize", FROM, to])).toBe(
      `${to}: expected a new directory, found one with notes.txt in it`,
    );
    expect(readdirSync(to)).toEqual(["notes.txt"]);
    const same = join(temporaryFolder(), "model");
    cpSync(FROM, same, { recursive: true });
    expect(await mistake(["quantize", same, same])).toMatch(/: expected a new directory, found one with \S+ in it$/);
    const empty = temporaryFolder();
    await good(["quantize", FROM, empty]);
    expect(readdirSync(empty).sort()).toEqual(["config.json", "model.safetensors"]);
  });

  test("a file in the directory's place, or in its parent's", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "mine");
    expect(await mistake(["quantize", FROM, file])).toBe(`${file}: expected a new directory, found ENOTDIR`);
    const below = join(file, "packed");
    expect(await mistake(["quantize", FROM, below])).toBe(`${below}: expected a new directory, found ENOTDIR`);
    expect(readFileSync(file, "utf8")).toBe("mine");
  });

  const usage: [string, string[], RegExp][] = [
    ["a format that there is not", ["IN", "OUT", "--dtype", "q9"], /--dtype.*'q9' is invalid.*q8, q7, q4/],
    ["a format that is not quantised", ["IN", "OUT", "--dtype", "f32"], /--dtype.*'f32' is invalid.*q8, q7, q4/],
    ["no model", [], /missing required argument 'in'/],
    ["nowhere to write to", ["IN"], /missing required argument 'out'/],
    ["one argument too many", ["IN", "OUT", "MORE"], /too many arguments/],
    ["a flag of another command", ["IN", "OUT", "--attention", "full"], /unknown option '--attention'/],
    ["no thread", ["IN", "OUT", "--threads", "0"], /--threads.*'0' is invalid/],
  ];
  test.each(usage)("%s: wrong usage", async (_, args, expected) => {
    const to = fresh();
    const words = args.map((word) => (word === "IN" ? FROM : word === "OUT" ? to : word));
    expect(await mistake(["quantize", ...words], 2)).toMatch(expected);
    expect(existsSync(to)).toBe(false);
  });

  test("a model that is not there, or is none", async () => {
    const to = fresh();
    expect(await mistake(["quantize", "./nowhere", to])).toMatch(
      /^model: expected a directory, .*, found no directory \.\/nowhere$/,
    );
    expect(await mistake(["quantize", "org/name", to, "--offline"])).toMatch(/^org\/name: expected .*offline/);
    expect(await mistake(["quantize", temporaryFolder(), to])).toMatch(/expected model\.safetensors/);
    expect(existsSync(to)).toBe(false);
  });

  test("a weight that is not finite: by tensor and index, and nothing is written", async () => {
    const from = folderOf("gptj");
    const file = join(from, "model.safetensors");
    const bytes = readFileSync(file);
    bytes.writeFloatLE(Number.NaN, bytes.length - 4);
    writeFileSync(file, bytes);
    const to = fresh();
    const message = `${file}: transformer.wte.weight[60,31]: expected a finite number, found NaN`;
    expect(await mistake(["quantize", from, to])).toBe(message);
    expect(existsSync(to)).toBe(false);
  });
});

test("Ctrl-C while it reads: exit code 130, and nothing is written", async () => {
  // A server that gives the header, and of the tensors nothing until the command has been told to end.
  const folder = join(FIXTURES, "gptj");
  const asked = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  using server = Bun.serve({
    port: 0,
    async fetch(request) {
      const path = join(folder, new URL(request.url).pathname.slice(1));
      if (!existsSync(path)) return new Response(null, { status: 404 });
      const range = request.headers.get("range")?.match(/^bytes=(\d+)-(\d+)$/);
      const bytes = readFileSync(path);
      if (!range) return new Response(bytes);
      const [from, to] = [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)];
      if (path.endsWith(".safetensors") && from > 8) {
        asked.resolve();
        await end.promise;
      }
      const headers = { "content-range": `bytes ${from}-${to}/${bytes.length}` };
      return new Response(bytes.subarray(from, to + 1), { status: 206, headers });
    },
  });
  const to = fresh();
  const child = start(["quantize", `http://localhost:${server.port}/`, to], "ignore");
  await asked.promise;
  child.kill("SIGINT");
  const code = await child.exited;
  end.resolve();
  expect({ code, err: await new Response(child.stderr).text() }).toEqual({ code: 130, err: "" });
  expect(existsSync(to)).toBe(false);
});

test("a file that cannot be written to its end is not left half", async () => {
  // No file may be longer than 4 KiB: more than config.json, less than the weights.
  const to = fresh();
  const command = `trap '' XFSZ; ulimit -f 8; exec "$0" "$@"`;
  const args = ["sh", "-c", command, process.execPath, "src/cli/main.ts", "quantize", join(FIXTURES, "gptj"), to];
  const child = Bun.spawn(args, { stdin: "ignore", stdout: "pipe", stderr: "pipe", cwd: ROOT });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect({ out, err, code: await child.exited }).toEqual({
    out: "",
    err: expect.stringMatching(/^error: \S+\/model\.safetensors: expected a writable file, found EFBIG\n$/),
    code: 1,
  });
  expect(readdirSync(to).filter((name) => name !== "config.json")).toEqual([]);
});
