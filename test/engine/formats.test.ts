/**
 * Every format of the weights: the bits do not depend on chunks, company, build, threads or banks; a tied table is one; and
 * the logits are those of the numbers that the format holds.
 */
import { afterAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { join } from "node:path";
import { Embed, Matmul, Op } from "../../assembly/op.ts";
import { DTYPES, type DType, QUANTIZED, type QuantizedDType, type StoredDType } from "../../src/base/dtype.ts";
import type { Engine, LoadingOptions } from "../../src/engine/engine.ts";
import { GREEDY } from "../../src/engine/sampler.ts";
import { parseSafetensors } from "../../src/formats/safetensors.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import type { PlacedWeight } from "../../src/plan/weights.ts";
import { quantize } from "../../src/plan/write_packed.ts";
import { Crew } from "../machine/crew.ts";
import * as math from "../reference/math.ts";
import { forward } from "../reference/model.ts";
import { dequantize, quantizeActivations, readRow, toBf16 } from "../reference/quantized.ts";
import { readTensors, type Tensors } from "../reference/safetensors.ts";
import { BUILDS, deviation, FIXTURES, kernels, logitsOf } from "../setup.ts";
import { Bare, type Token } from "./bare.ts";
import {
  checkpointOf,
  engineOf,
  FAMILIES,
  firstDifference,
  fixture,
  PATIENCE,
  randomIds,
  type Tensor,
  type Tiny,
  tiedHead,
  untiedHead,
} from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const SHAPE = { nLocal: 16, nGlobal: 3, limit: 20 };
const CHUNKS = [1, 3, 7, 64];
const IDS = randomIds(70, 12);
const CASES = [...FAMILIES, "gemma3-text"].flatMap((family) => DTYPES.map((dtype) => [family, dtype] as const));

const read = new Map<string, Promise<Float32Array[]>>();

/** The logits after each token of IDS, read one by one in one thread and one bank: what every other way must give. */
function wanted(family: string, dtype: DType): Promise<Float32Array[]> {
  const key = `${family} ${dtype}`;
  const rows = read.get(key) ?? Bare.load(family, { ...SHAPE, dtype, chunkSize: 1 }).then((model) => model.read(IDS));
  read.set(key, rows);
  return rows;
}

describe.each(CASES)("%s in %s", (family, dtype) => {
  test("the bits of chunks of 1, 3, 7 and 64 tokens, in every build", async () => {
    const rows = await wanted(family, dtype);
    for (const build of BUILDS) {
      for (const chunkSize of CHUNKS) {
        const model = await Bare.load(family, { ...SHAPE, dtype, chunkSize }, build);
        const found = { build, chunkSize, differs: firstDifference(model.read(IDS), rows) };
        expect(found).toEqual({ build, chunkSize, differs: -1 });
      }
    }
  });

  test("the bits alone are those in company", async () => {
    const rows = await wanted(family, dtype);
    const other = randomIds(70, 13);
    for (const build of BUILDS) {
      const model = await Bare.load(family, { ...SHAPE, dtype, chunkSize: 40, maxSessions: 3 }, build);
      const done = [0, 0, 0];
      const found: Float32Array[] = [];
      // Session 1 reads IDS; runs of its neighbours put its rows anywhere in a tile of four.
      for (let step = 0; (done[1] as number) < IDS.length; step++) {
        const tokens = [step % 5, 1 + (step % 6), (3 * step) % 4].flatMap((count, session): Token[] => {
          const text = session === 1 ? IDS : other;
          const begin = done[session] as number;
          const origin = session === 1 ? 0 : 1000;
          done[session] = Math.min(begin + count, text.length);
          return text
            .slice(begin, begin + count)
            .map((token, i) => ({ session, token, position: begin + i + origin, origin }));
        });
        for (const [i, row] of model.step(tokens).entries()) if (tokens[i]?.session === 1) found.push(row);
      }
      expect({ build, differs: firstDifference(found, rows) }).toEqual({ build, differs: -1 });
    }
  });

  test("the bits of one bank are those of two", async () => {
    const rows = await wanted(family, dtype);
    const options = { ...SHAPE, dtype, chunkSize: 16 };
    const bankBytes = await smallest(2, family, options);
    const engine = await engineOf(family, { ...options, bankBytes });
    const whole = await engineOf(family, options);
    expect([whole.plan.banks.length, engine.plan.banks.length]).toEqual([1, 2]);
    expect(engine.plan.segments.length).toBeGreaterThan(1);
    expect(engine.plan.weightBytes).toBe(whole.plan.weightBytes);
    expect(firstDifference(await logitsOf(engine, IDS), rows)).toBe(-1);
  });
});

function isQuantized(dtype: DType): dtype is QuantizedDType {
  return QUANTIZED.some((format) => format === dtype);
}

/** The least that a bank must hold for the model to need no more than `banks` of them. */
async function smallest(banks: number, family: string, options: LoadingOptions): Promise<number> {
  const checkpoint = await checkpointOf(fixture(family));
  const fits = (bankBytes: number) => {
    try {
      return planModel(checkpoint, { ...options, bankBytes }).plan.banks.length <= banks;
    } catch {
      return false; // no layer fits
    }
  };
  // Every bank is planned with 4 MiB beside weights, caches and activations.
  let [low, high] = [2 ** 18, 2 ** 24];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return high;
}

describe("with 1, 2, 3 and 4 threads the same bits", () => {
  const crews: Crew[] = [];
  afterAll(() => {
    for (const crew of crews) crew.stop();
  });

  /** Every row of IDS, then of what follows it greedily, and the hash of a session that reads in chunks of 64. */
  async function readAll(engine: Engine): Promise<{ rows: Float32Array[]; hash: string }> {
    const rows = await logitsOf(engine, IDS);
    const session = engine.open(0, 1);
    engine.begin(session, undefined, GREEDY);
    await engine.append(session, IDS);
    for (let n = 0; n < 5; n++) await engine.next(session, GREEDY);
    const hash = engine.state(session).hash.hex();
    engine.dispose(session);
    return { rows, hash };
  }
  /** Steps of readAll: 16 rows at a time, then 64, then one by one. */
  const STEPS = Math.ceil(IDS.length / 16) + Math.ceil(IDS.length / 64) + 4;

  test.each([...FAMILIES])("%s, in every format", async (family) => {
    const crew = await Crew.open();
    crews.push(crew);
    for (const dtype of DTYPES) {
      const options = { ...SHAPE, dtype, chunkSize: 64 };
      const alone = await readAll(await crew.engine(family, 1, options));
      expect(firstDifference(alone.rows, await wanted(family, dtype))).toBe(-1);
      for (const threads of [2, 3, 4]) {
        const engine = await crew.engine(family, threads, options);
        await crew.ready();
        const before = crew.jobs;
        const { rows, hash } = await readAll(engine);
        const differs = firstDifference(rows, alone.rows);
        expect({ dtype, threads, differs, hash }).toEqual({ dtype, threads, differs: -1, hash: alone.hash });
        // All of them took part.
        const jobs = crew.jobs.slice(0, threads - 1).map((count, i) => count - (before[i] ?? 0));
        expect(jobs).toEqual(new Array(threads - 1).fill(STEPS));
        for (let i = 0; i < threads - 1; i++) expect(crew.threads(i)).toBe(threads);
      }
    }
  });
});

describe.each([...DTYPES])("a tied table in %s", (dtype) => {
  const models: [string, string, () => Tiny][] = [
    ["llama", "model.embed_tokens.weight", () => fixture("llama-gqa-tied")],
    ["mpt", "transformer.wte.weight", () => fixture("mpt-heads6")],
    ["gptj", "transformer.wte.weight", () => tiedHead(fixture("gptj"))],
  ];
  test.each(models)("%s: is stored once, and embeds what the head multiplies", async (_, name, make) => {
    const tied = make();
    const table = tied.tensors.get(name) as Tensor;
    const apart: Tiny = {
      config: { ...tied.config, tie_word_embeddings: false },
      tensors: new Map(tied.tensors).set("lm_head.weight", table),
    };
    const one = await Bare.load(tied, { ...SHAPE, dtype, chunkSize: 64 });
    const two = await Bare.load(apart, { ...SHAPE, dtype, chunkSize: 64 });

    const found = one.plan.weights.filter(({ tensor }) => tensor.name === name);
    expect(found.map((weight) => weight.dtype)).toEqual([isQuantized(dtype) ? "q8" : dtype]);
    const head = two.plan.weights.find(({ tensor }) => tensor.name === "lm_head.weight");
    expect(one.plan.weights.length).toBe(two.plan.weights.length - 1);
    expect(two.plan.weightBytes - one.plan.weightBytes).toBe(head?.bytes as number);
    const [address] = found.map((weight) => weight.address);
    const records = one.plan.records.flat();
    expect(records.find(({ op }) => op === Op.Embed)?.words[Embed.table]).toBe(address);
    expect(records.findLast(({ op }) => op === Op.Matmul)?.words[Matmul.weight]).toBe(address);

    const rows = one.read(IDS);
    // The factors of the last norm may go into a quantised head that is no table.
    if (!isQuantized(dtype)) expect(firstDifference(rows, two.read(IDS))).toBe(-1);
    // Another head is seen.
    if (name.includes("wte")) {
      const reversed = await Bare.load(untiedHead(tied), { ...SHAPE, dtype, chunkSize: 64 });
      expect(firstDifference(rows, reversed.read(IDS))).toBe(0);
    }
  });
});

describe("logits equal the f64 model's of the numbers that the format holds, within 2e-5 · (1 + |logit|)", () => {
  /** What a number of a matrix is in a format that is not quantised. */
  const HELD: Readonly<Record<StoredDType, (data: Float64Array) => ArrayLike<number>>> = {
    f32: (data) => data,
    bf16: (data) => data.map(toBf16),
    f16: (data) => new Float16Array(data),
  };

  /** A fixture's tensors as they are in this format. */
  async function tensorsIn(family: string, dtype: DType): Promise<Tensors> {
    const tensors = readTensors(join(FIXTURES, family));
    if (isQuantized(dtype)) return held(tensors, family, dtype);
    for (const { shape, data } of tensors.values()) if (shape.length === 2) data.set(HELD[dtype](data));
    return tensors;
  }

  /** The same from what \`quantize\` writes, with the numbers that its bytes stand for by the definition of their layout. */
  async function held(originals: Tensors, family: string, dtype: QuantizedDType): Promise<Tensors> {
    const files = await quantize(await checkpointOf(fixture(family)), await kernels(), dtype);
    const bytes = new Uint8Array(
      Buffer.concat([...(files.find(({ name }) => name === "model.safetensors")?.parts() ?? [])]),
    );
    const { tensors } = parseSafetensors(bytes, family);
    const { plan } = planModel(await checkpointOf(fixture(family)), { dtype });
    const placed = new Map(plan.weights.map((one) => [one.weight.name, one]));
    return new Map(
      [...originals].map(([name, { shape }]) => {
        const [n = 0, k] = shape;
        // One tensor, or the three of Wqkv.
        const parts = [...tensors.values()].filter((tensor) => tensor.name.replace(/\[[qkv]\]$/, "") === name);
        const data = parts.flatMap(({ name, begin, end }) => {
          const part = bytes.slice(begin, end);
          const { weight, dtype: format } = placed.get(name) as PlacedWeight;
          if (k === undefined) return [...new Float32Array(part.buffer)].map((number) => number - (weight.added ?? 0));
          const count = n / parts.length;
          return Array.from({ length: count }, (_, row) => [
            ...dequantize(readRow(part, row, k, format as QuantizedDType), k),
          ]).flat();
        });
        return [name, { shape, data: Float64Array.from(data) }];
      }),
    );
  }

  const linear = math.linear;
  /** The reference's linear layer, of activations in whole numbers. */
  const linearOfWhole: typeof linear = (x, ...rest) =>
    linear(
      x.map((row) => dequantize(quantizeActivations(Float32Array.from(row)), row.length)),
      ...rest,
    );

  const TEXTS = Array.from({ length: 12 }, (_, seed) => randomIds(6, seed));

  /**
   * The deviations of every row of short texts, sorted, from the f64 model with weights in the format `as`, and activations
   * in whole numbers or not.
   */
  async function deviations(family: string, dtype: DType, as: DType, whole: boolean): Promise<number[]> {
    const tensors = await tensorsIn(family, as);
    const model = await Bare.load(family, { ...SHAPE, dtype });
    const spy = spyOn(math, "linear").mockImplementation(whole ? linearOfWhole : linear);
    try {
      const found = TEXTS.flatMap((ids) => {
        const expected = forward(fixture(family).config, tensors, ids, { policy: "lambda", ...SHAPE });
        return model.read(ids).map((row, p) => deviation(row, expected[p] as Float64Array));
      });
      return found.sort((a, b) => a - b);
    } finally {
      spy.mockRestore();
    }
  }

  /** The least, and what three quarters are below. */
  const least = (sorted: number[]) => sorted[0] as number;
  const most = (sorted: number[]) => sorted[Math.floor(0.75 * sorted.length)] as number;

  // The bound is f32's rounding. Where an activation lies so near the edge between two whole numbers that f32 and f64 take
  // different ones, its row and those that meet its key are off by 1e-2 or more: such rows are few, and the texts are short
  // because a row that is off disturbs those behind it.
  test.each(CASES)("%s in %s", async (family, dtype) => {
    const whole = isQuantized(dtype);
    const same = await deviations(family, dtype, dtype, whole);
    if (!whole) expect(same.at(-1)).toBeLessThan(2e-5);
    expect(most(same)).toBeLessThan(2e-5);
    // Weights as they were, and activations as they are, are all told apart.
    if (dtype !== "f32") expect(least(await deviations(family, dtype, "f32", whole))).toBeGreaterThan(1e-4);
    if (whole) expect(least(await deviations(family, dtype, dtype, false))).toBeGreaterThan(1e-3);
  });
});
