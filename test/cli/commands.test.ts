/** `logits`, `inspect` and the help. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { load, POLICIES } from "../../src/entry/index.ts";
import { fileOf, tinyOf } from "../engine/tiny.ts";
import { readSafetensors } from "../reference/safetensors.ts";
import { EMBEDDED, removeTemporary, smallFolder, temporaryFolder } from "../session/small.ts";
import { FAMILIES, FIXTURES, logitsOf, openEngine } from "../setup.ts";
import { good, lambent, statsOf } from "./run.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const IDS = Array.from({ length: 40 }, (_, i) => (i * 7 + 3) % 61);

describe("logits", () => {
  const written = (file: string) => {
    const tensors = readSafetensors(file);
    expect([...tensors.keys()]).toEqual(["logits"]);
    return tensors.get("logits") as { shape: number[]; data: Float64Array };
  };
  const rows = (logits: Float32Array[]) => Float64Array.from(logits.flatMap((row) => [...row]));

  test.each(FAMILIES)(
    "%s: of ids, with no tokenizer, bit for bit the engine's; every policy, every parameter",
    async (name) => {
      const model = join(FIXTURES, name);
      const folder = temporaryFolder();
      const shape = { nGlobal: 3, nLocal: 8, limit: 12, maxPositions: 60 };
      const flags = ["--n-global", "3", "--n-local", "8", "--limit", "12", "--max-positions", "60"];
      const found: Float64Array[] = [];
      for (const attention of POLICIES) {
        const out = join(folder, `${attention}.safetensors`);
        const run = await good([
          "logits",
          "-m",
          model,
          "--ids",
          IDS.join(","),
          "--out",
          out,
          "--attention",
          attention,
          ...flags,
        ]);
        expect(run).toMatchObject({ out: "", err: "" });
        const { shape: size, data } = written(out);
        expect({ attention, size }).toEqual({ attention, size: [40, 61] });
        expect(data).toEqual(rows(await logitsOf(await openEngine(model, { ...shape, attention }), IDS)));
        found.push(data);
      }
      // Otherwise the flag did nothing.
      expect(new Set(found.map((data) => data.join())).size).toBe(POLICIES.length);
    },
  );

  test("full attention is given room for them, beyond the trained length", async () => {
    const out = join(temporaryFolder(), "logits.safetensors");
    const ids = [...IDS, ...IDS];
    const model = join(FIXTURES, "gptj"); // trained on 64 positions
    await good(["logits", "-m", model, "--ids", ids.join(), "--out", out, "--attention", "full"]);
    const engine = await openEngine(model, { attention: "full", maxPositions: 80 });
    expect(written(out).data).toEqual(rows(await logitsOf(engine, ids)));
  });

  test("of a text, begun as the tokenizer says", async () => {
    const out = join(temporaryFolder(), "logits.safetensors");
    const text = "It was a “dark” night";
    for (const flags of [[], ["--attention", "full"]]) {
      await good(["logits", "--text", text, "--out", out, ...flags]);
      const ids = (await load(EMBEDDED)).tokenizer.encode(text);
      const { shape, data } = written(out);
      expect(shape).toEqual([ids.length, 4096]);
      expect(data).toEqual(rows(await logitsOf(await openEngine(EMBEDDED), ids)));
    }
  });
});

describe("inspect", () => {
  test.each(POLICIES)("%s: prints the memory that is there after loading", async (attention) => {
    const folder = smallFolder("llama-gqa-tied", { max_new_tokens: 2, eos_token_id: [] });
    const cache = CACHE_DTYPES[POLICIES.indexOf(attention) % 3] as string;
    const flags = ["-m", folder, "--attention", attention, "--n-local", "20", "--max-positions", "50"];
    flags.push("--cache-dtype", cache);
    const [json, text, run] = await Promise.all([
      good(["inspect", "--json", ...flags]),
      good(["inspect", ...flags]),
      good(["generate", "ab", ...flags, "--stats", "json"]),
    ]);
    const { memory, segments, ...printed } = JSON.parse(json.out);
    const stats = statsOf(run);
    for (const key of ["weightBytes", "cacheBytes", "memoryBytes"]) {
      expect({ [key]: memory[key] }).toEqual({ [key]: stats[key] });
      expect(text.out).toContain(` ${stats[key]} bytes`);
    }
    for (const key of ["modelType", "cacheDtype", "attention", "nGlobal", "nLocal", "limit", "maxPositions"]) {
      expect({ [key]: printed[key] }).toEqual({ [key]: stats[key] as string });
    }
    expect(memory.memoryBytes).toBeGreaterThanOrEqual(memory.weightBytes + memory.sessionBytes);
    expect(memory.maximumBytes - memory.memoryBytes).toBeGreaterThanOrEqual(15 * memory.sessionBytes);
    // Each operation is a line of the text.
    for (const { operations } of segments) {
      for (const { op, text: line } of operations)
        expect(text.out).toMatch(new RegExp(`^ +${op} .*${literal(line)}$`, "m"));
    }
    expect(json.err + text.err).toBe("");
  });

  test("tells what each layer attends to: a window of its own, or what the policy says", async () => {
    const [mixed, window] = ["qwen2-window", "mistral-window"].map((name) => join(FIXTURES, name)) as [string, string];
    const text = await good(["inspect", "-m", mixed, "--n-local", "20", "--n-global", "3"]);
    expect(text.out).toMatch(/\nlayers {6}0, 2: the last 16 tokens, the trained window \(\d+ bytes of cache\)\n/);
    expect(text.out).toMatch(
      /\n {12}1: the first 3 and the last 20 tokens, distances up to 20 \(\d+ bytes of cache\)\n/,
    );
    const { layers, memory } = JSON.parse((await good(["inspect", "-m", mixed, "--attention", "full", "--json"])).out);
    const found = layers as { window: number | null; nLocal: number | null; cacheBytes: number }[];
    expect(found.map((layer) => layer.window)).toEqual([16, null, 16]);
    expect(found.map((layer) => layer.nLocal)).toEqual([16, null, 16]);
    expect(found.reduce((sum, layer) => sum + layer.cacheBytes, 0)).toBe(memory.cacheBytes);
    expect((await good(["inspect", "-m", window])).out).toContain("the trained window");
  });

  test("reads no weight: they may be damaged, which loading refuses", async () => {
    const folder = smallFolder("gptj");
    const whole = await good(["inspect", "-m", folder]);
    const file = join(folder, "model.safetensors");
    const bytes = readFileSync(file);
    bytes.fill(0xff, 8 + Number(bytes.readBigUInt64LE()));
    writeFileSync(file, bytes);
    expect(await good(["inspect", "-m", folder])).toEqual(whole);
    const { code, err } = await lambent(["generate", "-m", folder, "ab"]);
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringMatching(/^error: .*model.safetensors: .*: expected .*NaN.*\n$/),
    });
  });

  test("needs no tokenizer, and tells which tensors are not used", async () => {
    const folder = smallFolder("mpt-pow2");
    rmSync(join(folder, "tokenizer.json"));
    const { tensors } = tinyOf(folder);
    tensors.set("extra.weight", { dtype: "F32", shape: [2], bytes: new Uint8Array(8) });
    writeFileSync(join(folder, "model.safetensors"), fileOf(tensors));
    const { out, err } = await good(["inspect", "-m", folder]);
    expect(out).toStartWith("mpt, ");
    expect(err).toBe(`warning: ${folder}: tensor extra.weight is not used\n`);
  });

  test("tells which keys of config.json changed nothing", async () => {
    const folder = smallFolder("gptj");
    const plain = await good(["inspect", "-m", folder]);
    const file = join(folder, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8"));
    const none = { hidden_dropout: 0.1, welcome: "Hello\nthere", use_moe: false, intermediate_size: 37 };
    writeFileSync(file, JSON.stringify({ ...config, ...none }));
    const [text, json] = await Promise.all([
      good(["inspect", "-m", folder]),
      good(["inspect", "-m", folder, "--json"]),
    ]);
    const line = text.out.split("\n").filter((line) => line.startsWith("no effect   "));
    expect(line).toEqual([expect.stringContaining(Object.keys(none).join(", "))]);
    expect(JSON.parse(json.out).withoutEffect).toEqual(expect.arrayContaining(Object.keys(none)));
    expect(text.out.replace(/^no effect.*\n/m, "")).toBe(plain.out.replace(/^no effect.*\n/m, ""));
  });
});

test("middle tokens: what every command is told is what is loaded, said and computed", async () => {
  const model = join(FIXTURES, "llama-gqa-tied");
  const out = join(temporaryFolder(), "logits.safetensors");
  const options = {
    recall: 3,
    recallDistance: 7,
    recallLayers: [1],
    recallHeads: [[1, 2]],
    recallTokens: 20,
    recallBlocks: 1,
    recallGate: -2,
    recallQueries: "last",
  } as const;
  const flags = ["-m", model, "--n-local", "32", "--recall", "3", "--recall-distance", "7", "--recall-layers", "1"];
  flags.push(
    "--recall-heads",
    "1:2",
    "--recall-tokens",
    "20",
    "--recall-blocks",
    "1",
    "--recall-gate",
    "-2",
    "--recall-queries",
    "last",
  );
  await good(["logits", ...flags, "--ids", IDS.join(","), "--out", out]);
  const wanted = await logitsOf(await openEngine(model, { nLocal: 32, ...options }), IDS);
  const found = readFileSync(out);
  const bytes = wanted.flatMap((row) => [...new Uint8Array(row.buffer)]);
  expect([...found.subarray(found.length - bytes.length)]).toEqual(bytes);
  const line =
    "3 of recallTokens 20, recallBlocks 1, recallDistance 7, recallGate -2, recallLayers 1, recallHeads 1:2, recallQueries last\n";
  expect((await good(["inspect", ...flags])).out).toContain(`recall      ${line.trimEnd()}; `);
  expect(JSON.parse((await good(["inspect", ...flags, "--json"])).out)).toMatchObject(options);
  const tiny = ["generate", "ab", ...flags, "-m", smallFolder("llama-gqa-tied")];
  expect((await good([...tiny, "--stats"])).err).toContain(`recall    ${line}`);
  expect(statsOf(await good([...tiny, "--stats", "json"]))).toMatchObject(options);
});

describe("help", () => {
  const MODEL =
    "--model --revision --offline --cache-dir --attention --n-global --n-local --limit --max-positions --dtype --cache-dtype " +
    "--threads --recall --recall-distance --recall-layers --recall-heads --recall-tokens --recall-blocks --recall-gate --recall-queries";
  const GENERATE =
    "--prompt --max-new-tokens --temperature --top-k --top-p --min-p --repetition-penalty --repeat-last-n --seed --stop --ignore-eos " +
    "--output --stats";
  const flags = { generate: `${MODEL} ${GENERATE}`, logits: `${MODEL} --ids --text --out`, inspect: `${MODEL} --json` };

  test.each(Object.keys(flags) as (keyof typeof flags)[])("of %s names every flag", async (command) => {
    const { out, err } = await good([command, "--help"]);
    for (const flag of flags[command].split(" ")) expect(out).toMatch(new RegExp(`^ +(-\\w, )?${flag}\\b`, "m"));
    for (const policy of POLICIES) expect(out).toContain(policy);
    expect(err).toBe("");
    expect((await good(["help", command])).out).toBe(out);
  });

  test("names every command, also where there is none", async () => {
    const { out } = await good(["--help"]);
    for (const command of Object.keys(flags)) expect(out).toMatch(new RegExp(`^ +${command} `, "m"));
    expect(await lambent([])).toEqual({ code: 2, out: "", err: out });
  });

  test("--version is the package's", async () => {
    expect((await good(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
