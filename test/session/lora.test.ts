/** LoRA adapters: transformers' and peft's logits, beside any format of the model's own weights. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DTYPES, type DType, QUANTIZED } from "../../src/base/dtype.ts";
import { LambentError, ModelError, OptionError } from "../../src/base/errors.ts";
import { Engine } from "../../src/engine/engine.ts";
import { inspect, type LoadOptions, load } from "../../src/entry/index.ts";
import { quantize } from "../../src/plan/write_packed.ts";
import { withCheckpoint } from "../../src/session/load.ts";
import { directory } from "../../src/sources/directory.ts";
import { good, statsOf } from "../cli/run.ts";
import { fileOf, firstDifference, type Tensor, tensor, tensorsOf, tinyOf } from "../engine/tiny.ts";
import { type Tensor as Rows, readSafetensors } from "../reference/safetensors.ts";
import { deviation, FIXTURES, kernels, logitsOf, ROOT } from "../setup.ts";
import { BOS, failure, removeTemporary, small, smallFolder, temporaryFolder, WILD } from "./small.ts";

setDefaultTimeout(120_000);
afterAll(removeTemporary);

const ADAPTERS = join(ROOT, "test/golden/adapters");
const GOLDEN = readSafetensors(join(ADAPTERS, "golden.safetensors"));
const GGUF = join(ROOT, "test/golden/gguf");
const FULL = { attention: "full", maxPositions: 64 } as const;
const LLAMA = "llama-gqa-tied";
const BASES: Readonly<Record<string, string>> = {
  ...{ "llama-all": LLAMA, "llama-patterns": LLAMA, "qwen2-rslora": "qwen2-untied", "phi3-fused": "phi3" },
  ...{ "neox-regrouped": "gpt-neox", "mpt-fused": "mpt-pow2", gemma3: "gemma3-text", granite: "granite" },
};
const at = (name: string, scale?: number) => ({ path: join(ADAPTERS, name), scale });
const idsOf = (fixture: string) => [
  ...(readSafetensors(join(FIXTURES, fixture, "golden.safetensors")).get("ids") as Rows).data,
];

function engineOf(where: string, options: LoadOptions): Promise<Engine> {
  return withCheckpoint(where, options, async (checkpoint) => {
    const { onProgress: _, threads: __, ...rest } = options;
    return Engine.load(checkpoint, await kernels(), rest);
  });
}

/** The logits after each token of a fixture's golden. */
async function logits(fixture: string, lora: LoadOptions["lora"], options: LoadOptions = {}): Promise<Float32Array[]> {
  return logitsOf(await engineOf(join(FIXTURES, fixture), { ...FULL, ...options, lora }), idsOf(fixture));
}

const flat = (rows: readonly Float32Array[]) => rows.flatMap((row) => [...row]);

describe("logits are those of transformers and peft", () => {
  test.each(Object.entries(BASES))("%s", async (name, base) => {
    const found = flat(await logits(base, [at(name)]));
    expect(deviation(found, GOLDEN.get(name)?.data ?? [])).toBeLessThan(2e-4);
  });

  test.each([
    ["llama-all", join(FIXTURES, LLAMA)],
    ["llama-all", join(GGUF, "split-00001-of-00003.gguf")],
    ["granite", join(FIXTURES, "granite")],
    ["granite", join(GGUF, "granite.gguf")],
    ["neox-regrouped", join(FIXTURES, "gpt-neox")],
    ["neox-regrouped", join(GGUF, "gpt-neox.gguf")],
    ["phi3-fused", join(GGUF, "phi3.gguf")],
  ])("of %s as GGUF and as PEFT has it, beside %s", async (name, model) => {
    for (const path of [join(ADAPTERS, name), join(ADAPTERS, name, `${name}.gguf`)]) {
      const engine = await engineOf(model, { ...FULL, lora: [{ path }] });
      const found = flat(await logitsOf(engine, idsOf(BASES[name] as string)));
      expect(deviation(found, GOLDEN.get(name)?.data ?? [])).toBeLessThan(2e-4);
    }
  });

  test("two at once", async () => {
    const lora = [at("llama-all"), at("llama-patterns", 1)];
    expect(deviation(flat(await logits(LLAMA, lora)), GOLDEN.get("both")?.data ?? [])).toBeLessThan(2e-4);
    expect(deviation(flat(await logits(LLAMA, lora.toReversed())), GOLDEN.get("both")?.data ?? [])).toBeLessThan(2e-4);
  });

  test.each(["BF16", "F16"])("of an adapter in %s, at half its strength: those of merged weights", async (dtype) => {
    const folder = adapterFolder("llama-all", (tensors) => {
      for (const [name, one] of tensors) tensors.set(name, narrowed(one, dtype));
    });
    const { config, tensors } = tinyOf(join(FIXTURES, LLAMA));
    const pairs = readSafetensors(join(folder, "adapter_model.safetensors"));
    for (const [name, one] of tensors) {
      const key = `base_model.model.${name.replace(/\.weight$/, "")}`;
      const [a, b] = ["A", "B"].map((part) => pairs.get(`${key}.lora_${part}.weight`));
      if (a && b) tensors.set(name, merged(one, a, b, (0.5 * 6) / 4));
    }
    const whole = smallFolder(LLAMA);
    writeFileSync(join(whole, "config.json"), JSON.stringify(config));
    writeFileSync(join(whole, "model.safetensors"), fileOf(tensors));
    const wanted = await logitsOf(await engineOf(whole, FULL), idsOf(LLAMA));
    const found = await logits(LLAMA, [{ path: folder, scale: 0.5 }]);
    expect(deviation(flat(found), flat(wanted))).toBeLessThan(2e-4);
  });
});

function meanDeviation(found: readonly number[], { data }: Rows): number {
  const sum = found.reduce((sum, value, i) => sum + Math.abs(value - (data[i] as number)), 0);
  return sum / found.length;
}

/** W + factor · B · A. */
function merged({ shape, bytes }: Tensor, a: Rows, b: Rows, factor: number): Tensor {
  const weight = new Float32Array(bytes.slice().buffer);
  const [rank = 0, k = 0] = a.shape;
  for (const [i, value] of weight.entries()) {
    let sum = 0;
    for (let r = 0; r < rank; r++) {
      sum += (b.data[Math.floor(i / k) * rank + r] as number) * (a.data[r * k + (i % k)] as number);
    }
    weight[i] = value + factor * sum;
  }
  return tensor("F32", shape, new Uint8Array(weight.buffer));
}

function narrowed({ shape, bytes }: Tensor, dtype: string): Tensor {
  const floats = new Float32Array(bytes.slice().buffer);
  const halves =
    dtype === "F16"
      ? new Float16Array(floats)
      : Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16);
  return tensor(dtype, shape, new Uint8Array(halves.buffer));
}

/** A copy of an adapter, changed. */
function adapterFolder(
  name: string,
  change: (tensors: Map<string, Tensor>, config: Record<string, unknown>) => void,
): string {
  const folder = temporaryFolder();
  cpSync(join(ADAPTERS, name), folder, { recursive: true });
  const [weights, json] = [join(folder, "adapter_model.safetensors"), join(folder, "adapter_config.json")];
  const tensors = tensorsOf(new Uint8Array(readFileSync(weights)));
  const config = JSON.parse(readFileSync(json, "utf8"));
  change(tensors, config);
  writeFileSync(weights, fileOf(tensors));
  writeFileSync(json, JSON.stringify(config));
  return folder;
}

describe.each([...DTYPES] as DType[])("beside weights in %s", (dtype) => {
  test.each(["llama-all", "qwen2-rslora", "neox-regrouped", "mpt-fused"])(
    "%s adds what it adds; at scale 0 no bit differs, in any chunks",
    async (name) => {
      const base = BASES[name] as string;
      const plain = await logits(base, [], { dtype });
      expect(firstDifference(await logits(base, [at(name, 0)], { dtype }), plain)).toBe(-1);
      const found = await logits(base, [at(name)], { dtype });
      for (const chunkSize of [1, 5]) {
        expect(firstDifference(await logits(base, [at(name)], { dtype, chunkSize }), found)).toBe(-1);
      }
      // As far from the golden as the model without it is from its own.
      const own = readSafetensors(join(FIXTURES, base, "golden.safetensors")).get("logits") as Rows;
      const [with_, without] = [meanDeviation(flat(found), GOLDEN.get(name) as Rows), meanDeviation(flat(plain), own)];
      expect(with_).toBeLessThan(1e-5 + 2 * without);
    },
  );
});

test("an adapter is part of what the model is: its hash, its snapshots, what is shared", async () => {
  const where = join(FIXTURES, LLAMA);
  const hashOf = async (lora: LoadOptions["lora"]) => (await engineOf(where, { lora })).modelHash;
  const variants = [undefined, [at("llama-all")], [at("llama-all", 0)], [at("llama-all", 0.5)], [at("llama-patterns")]];
  const hashes = await Promise.all(variants.map(hashOf));
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(await hashOf([at("llama-all", 0.5)])).toBe(hashes[3] as bigint);
  using one = await small(LLAMA, { lora: [at("llama-all")] });
  using other = await small(LLAMA, { lora: [at("llama-all", 2)] });
  using session = await one.session();
  await session.append([5, 6, 7]);
  const snapshot = await session.snapshot();
  (await one.restore(snapshot)).dispose();
  expect((await failure(ModelError, () => other.restore(snapshot))).message).toStartWith("snapshot: model_hash");
});

test("it works in a worker, with generations, embeddings and prompt lookup, and its memory is planned", async () => {
  const options = { lora: [at("llama-all", 0.7)], nLocal: 8, nGlobal: 3 };
  const folder = smallFolder(LLAMA);
  const given: unknown[] = [];
  for (const way of [{ threads: 1 }, { threads: 2, worker: true }, { threads: 1, worker: true, chunkSize: 3 }]) {
    using model = await load(folder, { ...options, ...way });
    const { logitsHash } = await model.generate([BOS, 5, 6], { ...WILD, seed: 3, maxNewTokens: 20, ignoreEos: true })
      .result;
    const greedy = { temperature: 0, maxNewTokens: 40, ignoreEos: true };
    const plain = await model.generate([BOS, 5, 6], greedy).result;
    const ahead = await model.generate([BOS, 5, 6], { ...greedy, promptLookupNumTokens: 6 }).result;
    expect(ahead.logitsHash).toBe(plain.logitsHash);
    given.push([logitsHash, plain.logitsHash, await model.embed([[5, 6], [7]])]);
    if (!("chunkSize" in way)) expect(model.info.memoryBytes).toBe((await inspect(folder, options)).plan.memoryBytes);
    expect(model.info.dtype).toBe("f32");
  }
  expect(given[1]).toEqual(given[0]);
  expect(given[2]).toEqual(given[0]);
});

test("files of any source are an adapter", async () => {
  const files = { ...directory(join(ADAPTERS, "llama-all")), name: "these" };
  const wanted = await logits(LLAMA, [at("llama-all")]);
  expect(firstDifference(await logits(LLAMA, [{ path: files }]), wanted)).toBe(-1);
  using server = Bun.serve({
    port: 0,
    fetch: ({ url }) => new Response(Bun.file(join(ADAPTERS, new URL(url).pathname))),
  });
  expect(firstDifference(await logits(LLAMA, [{ path: new URL("llama-all/", server.url) }]), wanted)).toBe(-1);
  using here = await small(LLAMA, { lora: [{ path: files }] });
  using there = await small(LLAMA, { lora: [{ path: files }], worker: true });
  const hash = async (model: typeof here) => (await model.generate([5], { temperature: 0 }).result).logitsHash;
  expect(await hash(there)).toBe(await hash(here));
});

test("the command line takes several, each perhaps with a scale", async () => {
  const [all, patterns] = ["llama-all", "llama-patterns"].map((name) => join(ADAPTERS, name)) as [string, string];
  const flags = ["--lora", `${all}:0.5`, "--lora", patterns, "--lora", `${all}:-.25`];
  const args = ["-m", smallFolder(LLAMA), "ab the", "--temperature", "0", "-n", "8", "--ignore-eos", "--stats", "json"];
  const lora = [at("llama-all", 0.5), at("llama-patterns"), at("llama-all", -0.25)];
  using model = await load(smallFolder(LLAMA), { lora });
  const { logitsHash } = await model.generate("ab the", { temperature: 0, maxNewTokens: 8, ignoreEos: true }).result;
  expect(statsOf(await good(["generate", ...args, ...flags])).logitsHash).toBe(logitsHash);
  expect((await good(["inspect", "-m", smallFolder(LLAMA), ...flags])).out).toContain("adapted4[4] = normed");
});

describe("what is not computed is refused by name", () => {
  const refused = async (message: string | RegExp, folder: string | object, options: LoadOptions = {}) => {
    const lora = [typeof folder === "string" ? { path: folder } : (folder as never)];
    const error = await failure(LambentError as never, () => engineOf(join(FIXTURES, LLAMA), { ...options, lora }));
    if (typeof message === "string") expect(error.message).toContain(message);
    else expect(error.message).toMatch(message);
  };
  const keys: Readonly<Record<string, unknown>>[] = [
    ...[{ use_dora: true }, { fan_in_fan_out: true }, { modules_to_save: ["lm_head"] }, { bias: "all" }],
    ...[{ lora_bias: true }, { peft_type: "IA3" }, { init_lora_weights: "pissa" }, { target_parameters: ["x"] }],
    ...[{ use_qalora: true }, { layer_replication: [[0, 1]] }, { unheard_of: 1 }, { r: "4" }, { lora_alpha: "4" }],
    ...[{ rank_pattern: { "(": 4 } }, { alpha_pattern: { q_proj: "x" } }, { rank_pattern: [4, 5] }],
  ];
  test.each(keys)("%j", async (changes) => {
    const folder = adapterFolder("llama-all", (_, config) => Object.assign(config, changes));
    await refused(`adapter_config.json: ${Object.keys(changes)[0]}: expected `, folder);
  });

  test("tensors", async () => {
    const ranks = adapterFolder("llama-all", (_, config) => Object.assign(config, { r: 5 }));
    await refused(/rank of model\.layers\.\S+: expected 4, as stored, found 5/, ranks);
    const name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    const change = (work: (tensors: Map<string, Tensor>) => void) => adapterFolder("llama-all", work);
    const { shape, bytes } = tensorsOf(
      new Uint8Array(readFileSync(join(ADAPTERS, "llama-all/adapter_model.safetensors"))),
    ).get(name) as Tensor;
    await refused(
      "lora_A and lora_B of model.layers.0.self_attn.q_proj, found only lora_B",
      change((all) => void all.delete(name)),
    );
    await refused(
      /lora_A of model\.layers\.0\.self_attn\.q_proj: expected shape \[4,32\], found \[4,31\]/,
      change((all) => void all.set(name, tensor("F32", [4, 31], bytes.slice(16)))),
    );
    await refused(
      "lora_embedding_A",
      change(
        (all) => void all.set("base_model.model.model.embed_tokens.lora_embedding_A", tensor("F32", shape, bytes)),
      ),
    );
    await refused(
      "projections of this model's layers, found model.layers.9.self_attn.q_proj",
      change((all) => {
        for (const part of ["A", "B"]) {
          const one = all.get(name.replace("_A", `_${part}`)) as Tensor;
          all.set(name.replace("layers.0", "layers.9").replace("_A", `_${part}`), one);
        }
      }),
    );
    const infinite = new Float32Array(bytes.slice().buffer).fill(Infinity, 2, 3);
    await refused(
      /A\[0,2\]: expected a finite number, found Infinity/,
      change((all) => void all.set(name, tensor("F32", shape, new Uint8Array(infinite.buffer)))),
    );
  });

  test("GGUF files", async () => {
    await refused("general.type: expected adapter, found nothing", join(GGUF, "llama-untied.gguf"));
    const path = join(ADAPTERS, "llama-all/llama-all.gguf");
    const bytes = readFileSync(path, "latin1");
    const changed = (from: string, to: string) => {
      const file = join(temporaryFolder(), "changed.gguf");
      expect(bytes.split(from).length).toBe(2);
      writeFileSync(file, bytes.replace(from, to), "latin1");
      return file;
    };
    await refused(
      "adapter.type: expected lora, found lorb",
      changed("\x04\0\0\0\0\0\0\0lora", "\x04\0\0\0\0\0\0\0lorb"),
    );
    await refused(
      "post_attention_layernorm, found only lora_a",
      changed("blk.0.ffn_down.weight.lora_a", "blk.0.ffn_norm.weight.lora_a"),
    );
    await refused("general.architecture: expected one of", changed("llama", "llame"));
  });

  test("files, scales and models", async () => {
    await refused(
      "expected adapter_config.json and adapter_model.safetensors, found no adapter_config.json",
      temporaryFolder(),
    );
    await refused("lora[0].scale: expected a finite number, found NaN", at("llama-all", NaN));
    const wrong: (readonly [LoadOptions["lora"], string])[] = [
      [[at("llama-all"), { path: "./nowhere" }], "lora[1].path: expected a directory, a GGUF file, a URL"],
      [[{ path: undefined as never }], "lora[0].path: expected a directory, a GGUF file, a URL"],
      [[null as never], "lora[0].path: expected a directory, a GGUF file, a URL"],
      ["adapter" as never, "lora: expected a list of adapters, found adapter"],
    ];
    for (const [lora, message] of wrong) {
      for (const worker of [false, true]) {
        const error = await failure(OptionError, () => load(join(FIXTURES, LLAMA), { lora, worker }));
        expect(error.message).toStartWith(message);
      }
    }
    const error = await failure(OptionError, () =>
      load(join(FIXTURES, LLAMA), { lora: [at("llama-all", NaN)], worker: true }),
    );
    expect(error.message).toContain("lora[0].scale");
    await refused(
      "lora[0].path: expected a directory, a GGUF file, a URL or a Hugging Face id",
      join(ADAPTERS, "no/ne:x"),
    );
    await refused("projections of this model's layers, found gpt_neox.layers.0", join(ADAPTERS, "neox-regrouped"));
    const packed = temporaryFolder();
    const files = await withCheckpoint(join(FIXTURES, LLAMA), {}, async (checkpoint) =>
      quantize(checkpoint, await kernels(), QUANTIZED[0]),
    );
    for (const { name, parts } of files) writeFileSync(join(packed, name), Buffer.concat([...parts()]));
    const lora = [at("llama-all")];
    expect((await failure(ModelError, () => engineOf(packed, { lora }))).message).toStartWith(
      "lora: expected none beside a packed model",
    );
  });
});
