/** Numbers that are not finite: in a checkpoint they are refused while loading, in logits they end a generation. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { ModelError } from "../../src/base/errors.ts";
import { GREEDY } from "../../src/engine/sampler.ts";
import { engineOf, firstDifference, fixture, oneByOne, PATIENCE, randomIds, type Tensor, type Tiny } from "./tiny.ts";

setDefaultTimeout(PATIENCE);

const VALUES: Record<string, number> = { NaN, Infinity, "-Infinity": -Infinity };
const BITS: Record<string, Record<string, number>> = {
  F32: { NaN: 0x7fc00000, Infinity: 0x7f800000, "-Infinity": 0xff800000, "another NaN": 0xff800001 },
  BF16: { NaN: 0x7fc0, Infinity: 0x7f80, "-Infinity": 0xff80, "another NaN": 0xff81 },
  F16: { NaN: 0x7e00, Infinity: 0x7c00, "-Infinity": 0xfc00, "another NaN": 0xfc01 },
};

/** Writes the bits of one number of a tensor. */
function set({ dtype, bytes }: Tensor, index: number, bits: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === "F32") view.setUint32(4 * index, bits, true);
  else view.setUint16(2 * index, bits, true);
}

function floats({ bytes }: Tensor): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

const tensorOf = (tiny: Tiny, name: string): Tensor => tiny.tensors.get(name) as Tensor;

async function modelError(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof ModelError) return error.message;
    throw error;
  }
  return "no error";
}

const matrix = "model.layers.1.mlp.down_proj.weight";
const vector = "model.layers.0.input_layernorm.weight";
const table = "model.embed_tokens.weight";

describe.each([
  ["F32", "llama-gqa-tied"],
  ["BF16", "llama-bf16"],
  ["F16", "llama-f16"],
])("a weight of %s that is not finite is refused by tensor and index", (dtype, name) => {
  const places: [string, (shape: readonly number[]) => number[]][] = [
    [matrix, () => [0, 0]],
    [matrix, ([rows = 0, columns = 0]) => [rows - 1, columns - 1]],
    [matrix, () => [5, 7]],
    [table, ([rows = 0]) => [rows - 1, 0]],
    [vector, () => [0]],
    [vector, ([size = 0]) => [size - 1]],
  ];
  test.each(Object.entries(BITS[dtype] as object))("%s", async (kind, bits) => {
    for (const [key, place] of places) {
      const tiny = fixture(name);
      const { shape } = tensorOf(tiny, key);
      const index = place(shape);
      set(
        tensorOf(tiny, key),
        index.reduce((at, i, axis) => at * (shape[axis] as number) + i, 0),
        bits,
      );
      const found = String(VALUES[kind] ?? NaN);
      expect(await modelError(() => engineOf(tiny))).toBe(
        `tiny/model.safetensors: ${key}[${index}]: expected a finite number, found ${found}`,
      );
    }
  });
});

test("the first of several, also in the parts of MPT's Wqkv, which are weights of their own", async () => {
  const tiny = fixture("mpt-pow2");
  const key = "transformer.blocks.0.attn.Wqkv.weight";
  const [rows = 0, columns = 0] = tensorOf(tiny, key).shape;
  for (const row of [rows - 1, 40]) {
    set(tensorOf(tiny, key), row * columns + 3, 0x7fc00000);
    set(tensorOf(tiny, key), row * columns + 9, 0x7f800000);
    const message = `tiny/model.safetensors: ${key}[${row},3]: expected a finite number, found NaN`;
    expect(await modelError(() => engineOf(tiny))).toBe(message);
  }
});

test("a number that the chosen format cannot hold is refused, the largest that it can is not", async () => {
  const bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0] as number;
  const cases: ["f16" | "bf16", number, boolean][] = [
    ["f16", 65519, true],
    ["f16", -65520, false],
    ["f16", 1e9, false],
    ["bf16", 3.38e38, true],
    ["bf16", -3.4028234663852886e38, false],
  ];
  for (const [dtype, value, good] of cases) {
    const tiny = fixture("llama-gqa-tied");
    set(tensorOf(tiny, matrix), 1, bits(value));
    const found = `tiny/model.safetensors: ${matrix}[0,1]: expected a number in the range of ${dtype}, found ${Math.fround(value)}`;
    expect(await modelError(() => engineOf(tiny, { dtype }))).toBe(good ? "no error" : found);
  }
});

describe("logits that are not finite", () => {
  /** GPT-J whose token 7 has an embedding that overflows in its norm, though every number is finite. */
  function overflowing(): Tiny {
    const tiny = fixture("gptj");
    const embedding = tensorOf(tiny, "transformer.wte.weight");
    floats(embedding).fill(3e38, 7 * 32, 8 * 32);
    return tiny;
  }
  const message = (position: number) =>
    `logits at position ${position}: expected finite numbers, found NaN for token 0`;

  test("end append and forward with an error that names the position", async () => {
    const engine = await engineOf(overflowing(), { nLocal: 16, nGlobal: 3, chunkSize: 8 });
    const other = engine.open(0, 1);
    await engine.append(
      other,
      randomIds(20, 1).map((id) => (id === 7 ? 8 : id)),
    );
    const session = engine.open(0, 1);
    await engine.append(session, [1, 2]);
    expect(await modelError(() => engine.append(session, [7]))).toBe(message(2));
    expect(await modelError(() => engine.append(session, [3, 4]))).toBe(message(4));
    const second = engine.open(1000, 1);
    const positions: number[] = [];
    const reading = engine.forward(second, [1, 2, 3, 7, 4], (_, position) => void positions.push(position));
    expect(await modelError(() => reading)).toBe(message(1003));
    // What else is in the engine is not touched by it.
    const healthy = await engineOf("gptj", { nLocal: 16, nGlobal: 3 });
    const ids = [...randomIds(20, 1).map((id) => (id === 7 ? 8 : id)), 9];
    await engine.append(other, [9]);
    const wanted = (await oneByOne(healthy, ids)).slice(-1);
    expect(firstDifference([engine.logits(engine.state(other))], wanted)).toBe(-1);
  });

  test("end a generation at the token that makes them, and never choose from old ones", async () => {
    const tiny = overflowing();
    floats(tensorOf(tiny, "lm_head.bias"))[7] = 1000; // so that token 7 is chosen
    const engine = await engineOf(tiny, { nLocal: 16, nGlobal: 3 });
    const session = engine.open(0, 1);
    await engine.append(session, [1, 2, 3]);
    expect(await engine.next(session, GREEDY)).toMatchObject({ id: 7, position: 3 });
    expect(await modelError(() => engine.next(session, GREEDY))).toBe(message(3));
    const again = await engine.next(session, GREEDY).then(
      ({ id }) => `token ${id}`,
      (error) => error.name,
    );
    expect(again).toMatch(/^(Model|Option)Error$/);
  });
});
