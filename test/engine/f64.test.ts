/** Weights stored in 64 bits: cast to f32 while they are read, to nearest; and types that no weight may have. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DTYPES } from "../../src/base/dtype.ts";
import { parseSafetensors } from "../../src/formats/safetensors.ts";
import { quantize } from "../../src/plan/write_packed.ts";
import { modelError } from "../formats/files.ts";
import { kernels, logitsOf, MODELS, openEngine } from "../setup.ts";
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
} from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const IDS = randomIds(20, 4);
const FILE = "tiny/model.safetensors";
const MATRIX = "model.layers.1.mlp.down_proj.weight";
const VECTOR = "model.norm.weight";

const doubles = ({ bytes }: Tensor) => new Float64Array(bytes.buffer);
const singles = ({ bytes }: Tensor) => new Float32Array(bytes.slice().buffer);

/** A tensor of F32 as F64, each number changed. */
function widened({ shape, ...tensor }: Tensor, change = (value: number, _: number) => value): Tensor {
  const values = Float64Array.from(singles({ shape, ...tensor }), change);
  return { dtype: "F64", shape, bytes: new Uint8Array(values.buffer) };
}

/** A fixture with all tensors that `which` names in F64. */
function wide(name: string, which = (_: string) => true, change?: (value: number, index: number) => number): Tiny {
  const { config, tensors } = fixture(name);
  return {
    config,
    tensors: new Map([...tensors].map(([key, tensor]) => [key, which(key) ? widened(tensor, change) : tensor])),
  };
}

test.each(FAMILIES)("%s in F64 gives the bits of F32, in every format", async (name) => {
  for (const dtype of ["auto", ...DTYPES] as const) {
    const wanted = await logitsOf(await engineOf(name, { dtype }), IDS);
    const engine = await engineOf(wide(name), { dtype });
    expect({ dtype, differs: firstDifference(await logitsOf(engine, IDS), wanted) }).toEqual({ dtype, differs: -1 });
  }
});

test("numbers between two of f32 become the nearest, the even one where both are as near", async () => {
  const between = (value: number, index: number) => value * (1 + ((index % 5) - 2) * 2 ** -26) + (index % 3) * 1e-11;
  const stored = wide("llama-gqa-tied", undefined, between);
  const halves = [1 + 2 ** -24, 1 + 3 * 2 ** -24, -(1 + 2 ** -24 + 2 ** -50), 2 ** -150, 3 * 2 ** -150, 1 + 2 ** -25];
  doubles(stored.tensors.get(VECTOR)!).set(halves);
  const cast: Tiny = {
    config: stored.config,
    tensors: new Map(
      [...stored.tensors].map(([key, tensor]) => {
        const values = Float32Array.from(doubles(tensor), Math.fround);
        return [key, { dtype: "F32", shape: tensor.shape, bytes: new Uint8Array(values.buffer) }];
      }),
    ),
  };
  expect([...singles(cast.tensors.get(VECTOR)!).slice(0, 6)]).toEqual([
    ...[1, 1 + 2 ** -22, -(1 + 2 ** -23), 0, 2 ** -148, 1],
  ]);
  const wanted = await logitsOf(await engineOf(cast), IDS);
  expect(firstDifference(await logitsOf(await engineOf(stored), IDS), wanted)).toBe(-1);
});

test.each(["F32", "F64"])("norms in %s beside matrices in BF16", async (dtype) => {
  const { config, tensors } = fixture("llama-bf16");
  for (const [key, { shape, bytes }] of tensors) {
    if (shape.length !== 1) continue;
    const values = new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (bits) => bits << 16).buffer);
    const single = { dtype: "F32", shape, bytes: new Uint8Array(values.buffer) };
    tensors.set(key, dtype === "F32" ? single : widened(single));
  }
  const engine = await engineOf({ config, tensors });
  expect(engine.plan.weights.find(({ weight }) => weight.name === MATRIX)?.dtype).toBe("bf16");
  const wanted = await logitsOf(await engineOf("llama-bf16"), IDS);
  expect(firstDifference(await logitsOf(engine, IDS), wanted)).toBe(-1);
});

test("a matrix larger than what is held at a time", async () => {
  const folder = join(MODELS, "lambent-llama-5m");
  const bytes = new Uint8Array(readFileSync(join(folder, "model.safetensors")));
  const tensors = [...parseSafetensors(bytes, "x").tensors.values()].map(({ name, shape, begin, end }) => {
    const stored = new Uint16Array(bytes.slice(begin, end).buffer);
    const floats = new Float32Array(Uint32Array.from(stored, (bits) => bits << 16).buffer);
    const tensor: Tensor = { dtype: "F64", shape, bytes: new Uint8Array(Float64Array.from(floats).buffer) };
    return [name, tensor] as const;
  });
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const ids = IDS.map((id) => 37 * id);
  const wanted = await logitsOf(await openEngine(folder, { dtype: "f32" }), ids);
  const engine = await engineOf({ config, tensors: new Map(tensors) });
  expect(firstDifference(await logitsOf(engine, ids), wanted)).toBe(-1);
});

test.each([
  [NaN, "a finite number, found NaN"],
  [-Infinity, "a finite number, found -Infinity"],
  [1e300, "a number in the range of f32, found 1e+300"],
  [-3.4028235677973366e38, "a number in the range of f32, found -3.4028235677973366e+38"],
])("%d is refused by tensor and index", async (value, expected) => {
  for (const [key, index] of [
    [MATRIX, [31, 5]],
    [VECTOR, [7]],
  ] as const) {
    const tiny = wide("llama-gqa-tied");
    const tensor = tiny.tensors.get(key)!;
    doubles(tensor)[index.reduce((at, i, axis) => at * tensor.shape[axis]! + i, 0)] = value;
    for (const dtype of ["auto", "q4"] as const)
      expect(await modelError(() => engineOf(tiny, { dtype }))).toBe(`${FILE}: ${key}[${index}]: expected ${expected}`);
  }
});

test("what a part of Wqkv holds is found there, and the largest number that f32 has is fine", async () => {
  const tiny = wide("mpt-pow2");
  const key = "transformer.blocks.0.attn.Wqkv.weight";
  const tensor = tiny.tensors.get(key)!;
  const [rows = 0, columns = 0] = tensor.shape;
  doubles(tensor)[(rows - 1) * columns + 3] = 3.4028235677973362e38;
  expect((await engineOf(tiny)).unused).toEqual([]);
  expect(await modelError(() => engineOf(tiny, { dtype: "bf16" }))).toContain("expected a number in the range of bf16");
  doubles(tensor)[(rows - 1) * columns + 3] = 1e39;
  expect(await modelError(() => engineOf(tiny))).toBe(
    `${FILE}: ${key}[${rows - 1},3]: expected a number in the range of f32, found 1e+39`,
  );
});

test("quantize makes of F64 what it makes of F32", async () => {
  const weightsOf = async (tiny: Tiny) => {
    const files = await quantize(await checkpointOf(tiny), await kernels(), "q8");
    return Buffer.concat([...files.find(({ name }) => name === "model.safetensors")!.parts()]);
  };
  expect((await weightsOf(wide("gptj"))).equals(await weightsOf(fixture("gptj")))).toBe(true);
});

test.each([
  ...["BOOL", "U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64", "C64"],
  ...["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3"],
])("a weight of %s is refused by name, a tensor of it that no weight needs is not", async (dtype) => {
  const bits: Record<string, number> = { BOOL: 8, C64: 64, F4: 4, F6_E2M3: 6 };
  const width = bits[dtype] ?? Number(/^[A-Z](\d+)/.exec(dtype)![1]);
  const { config, tensors } = fixture("llama-gqa-tied");
  const { shape } = tensors.get(MATRIX)!;
  const tensor = { dtype, shape, bytes: new Uint8Array((shape[0]! * shape[1]! * width) / 8) };
  tensors.set("other.weight", tensor);
  expect((await engineOf({ config, tensors })).unused).toEqual(["other.weight"]);
  tensors.set(MATRIX, tensor);
  expect(await modelError(() => engineOf({ config, tensors }))).toBe(
    `tiny: ${MATRIX}: expected a type of F32, BF16, F16, F64, found ${dtype}`,
  );
});
