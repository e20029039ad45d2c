/** Models in ggml's blocks: kept as stored or made into any format, in any order of rows, and the same bits everywhere. */
import { describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { DTYPES } from "../../src/base/dtype.ts";
import { ModelError } from "../../src/base/errors.ts";
import type { RowRange } from "../../src/base/rows.ts";
import { Engine, type LoadingOptions } from "../../src/engine/engine.ts";
import type { Bank } from "../../src/machine/bank.ts";
import type { Build } from "../../src/machine/kernels.ts";
import { programOf } from "../../src/models/index.ts";
import type { Weight } from "../../src/models/program.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { loadMachine } from "../../src/plan/read_weights.ts";
import type { PlacedWeight } from "../../src/plan/weights.ts";
import { quantize } from "../../src/plan/write_packed.ts";
import { Crew } from "../machine/crew.ts";
import { BLOCKS, type BlockType, stepsOf } from "../reference/ggml.ts";
import * as math from "../reference/math.ts";
import { forward } from "../reference/model.ts";
import { dequantize, quantizeActivations } from "../reference/quantized.ts";
import { BUILDS, deviation, kernels, logitsOf } from "../setup.ts";
import { type BlockTensor, blockCheckpoint, blockTensors, CONFIG, floatsOf } from "./blocks.ts";
import { firstDifference, oneByOne, PATIENCE, randomIds } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const TYPES = Object.keys(BLOCKS) as BlockType[];
const SHAPE = { nLocal: 16, nGlobal: 3 };
const IDS = randomIds(30, 5);

async function engineOf(
  tensors: ReadonlyMap<string, BlockTensor>,
  options: LoadingOptions = {},
  build?: Build,
): Promise<Engine> {
  return Engine.load(blockCheckpoint(tensors), await kernels(build), { ...SHAPE, ...options });
}

async function refusal(tensors: ReadonlyMap<string, BlockTensor>, options?: LoadingOptions): Promise<string> {
  const failure = await engineOf(tensors, options).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(ModelError);
  return (failure as ModelError).message;
}

/** Sets of types: every one alone, and what files mix. */
const MIXES: readonly (readonly BlockType[])[] = [...TYPES.map((type) => [type]), ["Q5_0", "Q4_K", "Q8_0", "Q6_K"]];

describe.each(MIXES.map((types) => ({ types })))("$types", ({ types }) => {
  const tensors = blockTensors(types);

  test("kept: chunks of any size, every build and the tokens one by one give the same bits", async () => {
    const wanted = await oneByOne(await engineOf(tensors, { chunkSize: 1 }), IDS);
    expect(wanted.flatMap((row) => [...row]).every(Number.isFinite)).toBe(true);
    for (const [i, build] of BUILDS.entries()) {
      for (const chunkSize of i === 0 ? [3, 7, 64] : [7]) {
        const found = await logitsOf(await engineOf(tensors, { chunkSize }, build), IDS);
        expect({ build, chunkSize, differs: firstDifference(found, wanted) }).toEqual({
          build,
          chunkSize,
          differs: -1,
        });
      }
    }
  });

  const steps = stepsOf(types[0] as BlockType);
  // A number near the edge between two whole ones may fall on the other side in f64: with few steps its row is off, with many
  // every row a little.
  const bound = steps > 127 ? 1e-3 : 2e-5;
  test.skipIf(types.length > 1)(
    "kept: the f64 model's logits of its numbers, with activations in whole numbers",
    async () => {
      const values = new Map(
        [...floatsOf(tensors)].map(([name, { shape, bytes }]) => {
          return [name, { shape: [...shape], data: Float64Array.from(new Float32Array(bytes.slice().buffer)) }];
        }),
      );
      const { linear } = math;
      const spy = spyOn(math, "linear").mockImplementation((x, ...rest) =>
        linear(
          x.map((row) => dequantize(quantizeActivations(Float32Array.from(row), steps), row.length)),
          ...rest,
        ),
      );
      try {
        const engine = await engineOf(tensors);
        const deviations: number[] = [];
        for (let seed = 0; seed < 4; seed++) {
          const ids = randomIds(3, seed);
          const wanted = forward(CONFIG, values, ids, { policy: "lambda", ...SHAPE, limit: SHAPE.nLocal });
          const found = await logitsOf(engine, ids);
          for (const [i, row] of found.entries()) deviations.push(deviation(row, wanted[i] as Float64Array));
        }

        expect(deviations.sort((a, b) => a - b)[deviations.length >> 1]).toBeLessThan(bound);
      } finally {
        spy.mockRestore();
      }
    },
  );
});

describe("made into another format", () => {
  const tensors = blockTensors(TYPES);

  test.each([...DTYPES])("%s: the bits of the same numbers stored in F32", async (dtype) => {
    const wanted = await logitsOf(await engineOf(floatsOf(tensors), { dtype }), IDS);
    // MXFP4 has numbers that q8 holds as they are.
    const others = blockTensors(TYPES.filter((type) => type !== "MXFP4"));
    const found = await logitsOf(await engineOf(dtype === "q8" ? others : tensors, { dtype }), IDS);
    const same = dtype === "q8" ? await logitsOf(await engineOf(floatsOf(others), { dtype }), IDS) : wanted;
    expect(firstDifference(found, same)).toBe(-1);
  });

  test("quantize writes what it writes of the same numbers in F32", async () => {
    for (const dtype of ["q7", "q4"] as const) {
      const bytesOf = async (from: typeof tensors) => {
        const files = await quantize(blockCheckpoint(from), await kernels(), dtype);
        return Buffer.concat([...(files.find(({ name }) => name === "model.safetensors")?.parts() ?? [])]);
      };
      expect(Buffer.compare(await bytesOf(tensors), await bytesOf(floatsOf(tensors)))).toBe(0);
    }
  });
});

test("1, 2, 3 and 4 threads: the same bits", async () => {
  const crew = await Crew.open();
  // Kept, because workers that know a model which is garbage are replaced.
  const engines: Engine[] = [];
  try {
    const tensors = blockTensors(TYPES);
    const wanted = await logitsOf(await engineOf(tensors, { chunkSize: 16 }), IDS);
    for (const threads of [1, 2, 3, 4]) {
      const engine = await Engine.load(blockCheckpoint(tensors), crew.kernels, { ...SHAPE, chunkSize: 16, threads });
      engines.push(engine);
      await crew.ready();
      const differs = firstDifference(await logitsOf(engine, IDS), wanted);
      expect({ threads, differs }).toEqual({ threads, differs: -1 });
      for (let i = 0; i < threads - 1; i++) expect(crew.threads(i)).toBe(threads);
    }
  } finally {
    crew.stop();
  }
});

test("the plan names the formats, keeps a tied table in its own, and folds no norm into what is kept", () => {
  const checkpoint = blockCheckpoint(blockTensors(TYPES));
  const { plan } = planModel(checkpoint, SHAPE);
  const kept = plan.weights.filter(({ kept }) => kept).map(({ tensor, dtype }) => `${tensor.dtype} ${dtype}`);
  expect([...new Set(kept)].sort()).toEqual([
    ...["IQ4_NL q8_0", "IQ4_XS q6_k", "MXFP4 q8", "Q2_K q2_k", "Q3_K q6_k", "Q4_0 q4_0", "Q4_1 q4_k", "Q4_K q4_k"],
    ...["Q5_0 q5_0", "Q5_1 q5_k", "Q5_K q5_k", "Q6_K q6_k", "Q8_0 q8_0"],
  ]);
  expect(plan.weights.filter(({ tensor }) => tensor.name === "model.embed_tokens.weight")).toHaveLength(1);
  expect(plan.foldings).toEqual([]);
  expect(planModel(checkpoint, { ...SHAPE, dtype: "q8" }).plan.foldings).toHaveLength(4);
  const texts = plan.records.flat().map(({ text }) => text);
  expect(texts).toContain("logits[61] = last · lm_head.weight[61,256]ᵀ q4_0");
  // One and the same form of x for q5_0, q5_k and q4_k.
  expect(texts.filter((text) => text.startsWith("normed[256] in whole numbers")).length).toBeLessThan(8);
});

describe("rows", () => {
  const NAME = "model.layers.1.self_attn.q_proj.weight";
  const NORM = "model.norm.weight";
  /** Per head of 64 rows: row j is stored as 2j, row j + 32 as 2j + 1. */
  const PERMUTED: RowRange[] = [0, 64, 128, 192].flatMap((first) => [
    { first, count: 32, step: 2 },
    { first: first + 1, count: 32, step: 2 },
  ]);

  /** The tensors with one whose rows are stored elsewhere. */
  function permuted(tensors: ReadonlyMap<string, BlockTensor>, name: string, rows: readonly RowRange[]) {
    const tensor = tensors.get(name) as BlockTensor;
    const bytes = new Uint8Array(tensor.bytes.length);
    const width = bytes.length / (tensor.shape[0] as number);
    let row = 0;
    for (const { first, count, step } of rows) {
      for (let i = 0; i < count; i++, row++) {
        bytes.set(tensor.bytes.subarray(row * width, (row + 1) * width), (first + i * step) * width);
      }
    }
    return new Map(tensors).set(name, { ...tensor, bytes, rows });
  }

  /** Every byte of a model's weights in memory. */
  async function memoryOf(tensors: ReadonlyMap<string, BlockTensor>, options: LoadingOptions): Promise<Buffer> {
    const checkpoint = blockCheckpoint(tensors);
    const { plan } = planModel(checkpoint, { ...SHAPE, ...options });
    const { machine } = await loadMachine(plan, CONFIG, await kernels());
    const parts = plan.weights.map(({ bank, address, bytes }) => (machine.banks[bank] as Bank).bytes(address, bytes));
    return Buffer.concat(parts);
  }

  test.each(["auto", ...DTYPES] as const)("%s: stored in another order, in memory the same", async (dtype) => {
    for (const types of [["Q4_K"], ["Q8_0"]] as const) {
      for (const tensors of [blockTensors(types), floatsOf(blockTensors(types))]) {
        const wanted = await memoryOf(tensors, { dtype });
        expect(Buffer.compare(await memoryOf(permuted(tensors, NAME, PERMUTED), { dtype }), wanted)).toBe(0);
        // Another order is another matrix.
        const elsewhere = new Map(tensors).set(NAME, { ...(tensors.get(NAME) as BlockTensor), rows: PERMUTED });
        expect(Buffer.compare(await memoryOf(elsewhere, { dtype }), wanted)).not.toBe(0);
      }
    }
  });

  test("a vector's too", async () => {
    const tensors = floatsOf(blockTensors(["Q8_0"]));
    const wanted = await memoryOf(tensors, {});
    expect(Buffer.compare(await memoryOf(permuted(tensors, NORM, PERMUTED), {}), wanted)).toBe(0);
  });

  test("a weight of some rows of a tensor that is stored in another order", async () => {
    const tensors = blockTensors(["Q4_K", "Q8_0"]);
    const ranges: [rows: RowRange[], count: number][] = [
      [[{ first: 64, count: 128, step: 1 }], 128],
      [[{ first: 3, count: 100, step: 2 }], 100],
      [
        [
          { first: 200, count: 20, step: 1 },
          { first: 10, count: 30, step: 3 },
        ],
        50,
      ],
    ];
    /** The weight in memory. */
    const weightOf = async (from: ReadonlyMap<string, BlockTensor>, rows: RowRange[], count: number) => {
      const program = programOf(CONFIG, "blocks");
      const weight: Weight = { ...(program.weights.get(NAME) as Weight), shape: [count, 256], rows };
      const weights = new Map(program.weights).set(NAME, weight);
      const { plan } = planModel(blockCheckpoint(from), SHAPE, { ...program, weights });
      const { machine } = await loadMachine(plan, CONFIG, await kernels());
      const { bank, address, bytes } = plan.weights.find(({ weight }) => weight.name === NAME) as PlacedWeight;
      return Buffer.from((machine.banks[bank] as Bank).bytes(address, bytes));
    };
    for (const [rows, count] of ranges) {
      const wanted = await weightOf(tensors, rows, count);
      expect(Buffer.compare(await weightOf(permuted(tensors, NAME, PERMUTED), rows, count), wanted)).toBe(0);
    }
    const [[rows, count] = [[], 0]] = ranges;
    const whole = await weightOf(tensors, [{ first: 0, count, step: 1 }], count);
    expect(Buffer.compare(await weightOf(tensors, rows, count), whole)).not.toBe(0);
  });

  test("every tensor is read once, by whole stretches, from the start of the file to its end", async () => {
    const tensors = permuted(blockTensors(["Q4_K"]), NAME, PERMUTED);
    const reads: [offset: number, bytes: number][] = [];
    const checkpoint = blockCheckpoint(tensors, (source) => ({
      ...source,
      readInto(target, offset) {
        reads.push([offset, target.length]);
        return source.readInto(target, offset);
      },
    }));
    await Engine.load(checkpoint, await kernels(), SHAPE);
    expect(reads).toHaveLength(tensors.size);
    let end = 0;
    for (const [offset, bytes] of reads) {
      expect(offset).toBe(end);
      end += bytes;
    }
  });

  test("an order that does not have as many rows is refused", async () => {
    const tensors = blockTensors(["Q8_0"]);
    tensors.set(NAME, { ...(tensors.get(NAME) as BlockTensor), rows: PERMUTED.slice(1) });
    expect(await refusal(tensors)).toMatch(
      /^blocks: model.layers.1.self_attn.q_proj.weight: expected an order of its rows, found /,
    );
  });
});

describe("what a file and a program add to a vector", () => {
  const NAME = "model.norm.weight";
  const tensors = blockTensors(["Q8_0"]);
  const norm = tensors.get(NAME) as BlockTensor;
  const stored = new Float32Array(norm.bytes.slice().buffer);

  /** The vector in memory. */
  async function vectorOf(ofFile: number | undefined, ofProgram: number | undefined): Promise<Float32Array> {
    const checkpoint = blockCheckpoint(new Map(tensors).set(NAME, { ...norm, added: ofFile }));
    const program = programOf(CONFIG, "blocks");
    const weights = new Map(program.weights);
    weights.set(NAME, { ...(weights.get(NAME) as Weight), added: ofProgram });
    const { plan } = planModel(checkpoint, SHAPE, { ...program, weights });
    const { machine } = await loadMachine(plan, CONFIG, await kernels());
    const { bank, address } = plan.weights.find(({ weight }) => weight.name === NAME) as PlacedWeight;
    return (machine.banks[bank] as Bank).floats(address, stored.length).slice();
  }

  test("is taken off, and put on; where both are equal the bits are those stored", async () => {
    const cases: [ofFile: number | undefined, ofProgram: number | undefined, wanted: Float32Array][] = [
      [undefined, undefined, stored],
      [1, 1, stored],
      [1, undefined, stored.map((x) => x - 1)],
      [0, 1, stored.map((x) => x + 1)],
    ];
    for (const [ofFile, ofProgram, wanted] of cases) expect(await vectorOf(ofFile, ofProgram)).toEqual(wanted);
  });

  test("has no place in a matrix", async () => {
    const name = "model.layers.0.mlp.up_proj.weight";
    const wrong = new Map(tensors).set(name, { ...(tensors.get(name) as BlockTensor), added: 1 });
    expect(await refusal(wrong)).toBe(
      `blocks: ${name}: expected a vector, to which numbers are added, found shape [512,256]`,
    );
  });
});

describe("refused by name", () => {
  const NAME = "model.layers.0.mlp.down_proj.weight";

  test.each(TYPES)("%s: a scale that is not finite, kept or not", async (type) => {
    const tensors = blockTensors([type]);
    const { bytes: size, columns, halves } = BLOCKS[type];
    const tensor = tensors.get(NAME) as BlockTensor;
    const at = 7 * (512 / columns) * size + size;
    if (type === "MXFP4") tensor.bytes[at] = 255;
    else new DataView(tensor.bytes.buffer).setUint16(at + (halves as readonly number[]).at(-1)!, 0x7e00, true);
    for (const dtype of ["auto", "f32", "q4"] as const) {
      expect(await refusal(tensors, { dtype })).toBe(
        `blocks.gguf: ${NAME}[7,${columns}]: expected a finite number, found NaN`,
      );
    }
  });

  test("rows that are not whole blocks", async () => {
    const tensors = blockTensors(["Q8_0"]);
    const matrix = tensors.get(NAME) as BlockTensor;
    tensors.set(NAME, { ...matrix, shape: [256, 48], bytes: matrix.bytes.subarray(0, 256 * 51) });
    const program = programOf(CONFIG, "blocks");
    const weights = new Map(program.weights);
    weights.set(NAME, { ...(weights.get(NAME) as Weight), shape: [256, 48], stored: [256, 48] });
    expect(() => planModel(blockCheckpoint(tensors), SHAPE, { ...program, weights })).toThrow(
      `blocks: ${NAME}: expected rows of whole blocks of 32 for Q8_0, found 48`,
    );
  });

  test("a type that no weight has, and blocks of a vector whose rows are elsewhere", async () => {
    const tensors = floatsOf(blockTensors(["Q8_0"]));
    const tensor = tensors.get(NAME) as BlockTensor;
    tensors.set(NAME, { ...tensor, dtype: "TQ2_0" });
    expect(await refusal(tensors)).toMatch(
      /down_proj.weight: expected a type of F32, BF16, F16, F64, Q4_0, .*, IQ4_XS, found TQ2_0$/,
    );
    const odd = blockTensors(["Q4_K"]);
    const table = "model.layers.0.input_layernorm.weight";
    odd.set(table, { ...(odd.get(table) as BlockTensor), dtype: "Q8_0", rows: [{ first: 0, count: 256, step: 1 }] });
    expect(await refusal(odd)).toMatch(/input_layernorm.weight: expected a type of F32, BF16, F16, F64, found Q8_0$/);
  });
});
