/**
 * Every format of the weights: the bits do not depend on chunks, company, build, threads or banks; a tied table is one; and
 * the logits are those of the numbers that the format holds.
 */
import { afterAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { join } from "node:path";
import { Embed, Matmul, Op } from "../../assembly/op.ts";
import { DTYPES, type DType, QUANTIZED, type QuantizedDType } from "../../src/dtype.ts";
import type { Engine, LoadingOptions } from "../../src/engine.ts";
import { planModel } from "../../src/model/planning.ts";
import { GREEDY } from "../../src/sampler.ts";
import { Crew } from "../machine/crew.ts";
import * as math from "../reference/math.ts";
import { forward } from "../reference/model.ts";
import { dequantize, quantizeActivations, quantizeWeights, toBf16 } from "../reference/quantized.ts";
import { readTensors, type Tensors } from "../reference/safetensors.ts";
import { BUILDS, deviation, FIXTURES, logitsOf } from "../setup.ts";
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
const CASES = FAMILIES.flatMap((family) => DTYPES.map((dtype) => [family, dtype] as const));

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
  let [low, high] = [2 ** 22, 2 ** 24];
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
    engine.begin(session, undefined);
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
    expect(found.map((weight) => weight.dtype)).toEqual([dtype]);
    expect(one.plan.weights.length).toBe(two.plan.weights.length - 1);
    expect(two.plan.weightBytes - one.plan.weightBytes).toBe(found[0]?.bytes as number);
    const [address] = found.map((weight) => weight.address);
    const records = one.plan.records.flat();
    expect(records.find(({ op }) => op === Op.Embed)?.words[Embed.table]).toBe(address);
    expect(records.findLast(({ op }) => op === Op.Matmul)?.words[Matmul.weight]).toBe(address);

    const rows = one.read(IDS);
    expect(firstDifference(rows, two.read(IDS))).toBe(-1);
    // Another head is seen.
    if (name.includes("wte")) {
      const reversed = await Bare.load(untiedHead(tied), { ...SHAPE, dtype, chunkSize: 64 });
      expect(firstDifference(rows, reversed.read(IDS))).toBe(0);
    }
  });
});

describe("the logits are those of the weights as the format holds them", () => {
  /** What a matrix [n, k] of this format holds, by definition. */
  const HELD: Readonly<Record<DType, (row: Float64Array) => Float64Array>> = {
    f32: (row) => row.map(Math.fround),
    bf16: (row) => row.map((value) => toBf16(Math.fround(value))),
    f16: (row) => Float64Array.from(new Float16Array(row)),
    q8: (row) => held(row, "q8"),
    q7: (row) => held(row, "q7"),
    q4: (row) => held(row, "q4"),
  };
  const held = (row: Float64Array, dtype: QuantizedDType) =>
    dequantize(quantizeWeights(Float32Array.from(row), dtype), row.length);

  function tensorsIn(family: string, dtype: DType): Tensors {
    const tensors = readTensors(join(FIXTURES, family));
    for (const { shape, data } of tensors.values()) {
      const [n = 0, k] = shape;
      if (k === undefined) continue;
      for (let row = 0; row < n; row++) data.set(HELD[dtype](data.slice(row * k, row * k + k)), row * k);
    }
    return tensors;
  }

  const linear = math.linear;
  /** The reference's, of activations in whole numbers. */
  const whole: typeof linear = (x, w, bias) =>
    linear(
      x.map((row) => dequantize(quantizeActivations(Float32Array.from(row)), row.length)),
      w,
      bias,
    );

  /** Deviations of every row from the f64 model whose weights are those of `as`, with activations as `dtype` has them. */
  async function off(family: string, dtype: DType, as: DType): Promise<number[]> {
    const policy = { policy: "lambda", ...SHAPE } as const;
    const spy = spyOn(math, "linear");
    if (dtype.startsWith("q")) spy.mockImplementation(whole);
    const expected = forward(fixture(family).config, tensorsIn(family, as), IDS, policy);
    spy.mockRestore();
    const rows = await wanted(family, dtype);
    return rows.map((row, p) => deviation(row, expected[p] as Float64Array));
  }
  test("measure", async () => {
    for (const [family, dtype] of CASES) {
      const sorted = (await off(family, dtype, dtype)).sort((a, b) => a - b);
      console.log(family, dtype, sorted[0], sorted[35], sorted[69], sorted.filter((x) => x < 2e-4).length);
    }
  });
});
