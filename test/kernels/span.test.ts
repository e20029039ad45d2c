/** A record on a span of rows writes there what it writes on all rows, and nothing beside it. */
import { expect, test } from "bun:test";
import { CacheFormat, Format, Size } from "../../assembly/layout.ts";
import * as op from "../../assembly/op.ts";
import * as positions from "../../assembly/op_positions.ts";
import { activationBytes, Bench, FORMAT_NAMES, FORMATS, quantized } from "./harness.ts";

const { Op, Span } = op;
type Words = Record<string, number>;

const bench = await Bench.open();
const ROWS = 7;
const FIRST = 2;
const COUNT = 3;
const DIM = 36;

const numbers = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin(i * 1.7 + seed) * 3));
const input = (rows: number, width = DIM, seed = 1) => bench.floats(numbers(rows * width, seed));

interface Case {
  readonly op: op.Op;
  readonly names: object;
  /** Bytes of an output row, and the operand that says where rows are written. */
  readonly rowBytes: number;
  readonly out: string;
  /** The other operands; taken anew for each run. */
  words(): Words;
}

const float = new Float32Array(1);
const bits = (value: number) => {
  float[0] = value;
  return new Uint32Array(float.buffer)[0] as number;
};
const { Bf16 } = Format;
const HEADS = { heads: 3, kvHeads: 3, headDim: 12 };
const rows = (name: keyof typeof Op, names: object, words: () => Words, more: Partial<Case> = {}): [string, Case] => [
  name,
  { op: Op[name], names, rowBytes: 4 * DIM, out: "y", words, ...more },
];

const CASES: [string, Case][] = [
  rows("Embed", op.Embed, () => ({
    ...{ table: bench.matrix(numbers(16 * DIM, 3), 16, DIM, Bf16), dim: DIM, format: Bf16, work: bench.work(3) },
  })),
  rows("Gather", op.Gather, () => ({ x: input(ROWS), dim: DIM })),
  rows("RmsNorm", op.Norm, () => ({ x: input(ROWS), weight: input(1), dim: DIM, eps: bits(1e-5), groups: 1 })),
  rows("RmsNorm", op.Norm, () => ({
    ...{ x: input(ROWS), weight: input(1, 12), residual: input(ROWS, DIM, 2), dim: 12, eps: bits(1e-5), groups: 3 },
  })),
  rows("LayerNorm", op.Norm, () => ({ x: input(ROWS), weight: input(1), bias: input(1), dim: DIM, eps: bits(1e-5) })),
  rows("SiluMul", op.Elementwise, () => ({ a: input(ROWS), b: input(ROWS, DIM, 2), n: DIM })),
  rows("Gelu", op.Elementwise, () => ({ a: input(ROWS, 33), b: 0, n: 33 }), { rowBytes: 4 * 33 }),
  rows("Tap", op.Tap, () => ({ x: input(ROWS), dim: DIM })),
  rows("GeluTanhMul", op.Elementwise, () => ({ a: input(ROWS), b: input(ROWS, DIM, 2), n: DIM })),
  rows("Scale", op.Elementwise, () => ({ a: input(ROWS), n: DIM, factor: bits(0.3) })),
  rows("Clip", op.Elementwise, () => ({ a: input(ROWS), n: DIM, factor: bits(1) })),
  rows("SoftCap", op.Elementwise, () => ({ a: input(ROWS), n: DIM, factor: bits(2) })),
  rows("Rope", positions.Rope, () => ({ x: input(ROWS), angles: input(2 * ROWS, 12, 4), rotaryDim: 12, ...HEADS })),
  rows(
    "Angles",
    positions.Angles,
    () => {
      const factors = { factor: bits(1.25), fixedFactor: bits(1.5) };
      return { turns: input(2, 8), pairs: 6, clamp: positions.Clamp.Distance, limit: 9, ...factors };
    },
    { rowBytes: 16 * 6, out: "out" },
  ),
  rows("Temper", positions.Temper, () => ({ x: input(ROWS), dim: DIM, beta: bits(0.5), original: 1 })),
  rows("Cast", op.Cast, () => ({ x: input(ROWS), headBytes: 24, format: CacheFormat.Bf16, ...HEADS }), {
    rowBytes: 3 * 24,
  }),
  rows("Nll", op.Nll, () => ({ x: input(ROWS), targets: bench.take(4 * ROWS), n: DIM }), { rowBytes: 16, out: "out" }),
  rows("Attention", op.Attention, attentionWords, { out: "out" }),
  ...FORMAT_NAMES.map((format): [string, Case] => {
    const words = () => ({
      x: bench.activations(numbers(ROWS * DIM, 1), DIM, FORMATS[format]),
      weight: bench.matrix(numbers(20 * DIM, 3), 20, DIM, FORMATS[format]),
      ...{ bias: input(1, 20), residual: input(ROWS, 20, 5), n: 20, k: DIM },
      ...{ format: FORMATS[format], work: bench.work(3) },
    });
    return [`Matmul ${format}`, { ...rows("Matmul", op.Matmul, words)[1], rowBytes: 4 * 20 }];
  }),
  ...FORMAT_NAMES.filter((name) => quantized(FORMATS[name])).map((name): [string, Case] => {
    const words = () => ({ x: input(ROWS), k: DIM, format: FORMATS[name] });
    const rowBytes = activationBytes(DIM, FORMATS[name]);
    return [`Quantize ${name}`, { ...rows("Quantize", op.Quantize, words)[1], rowBytes }];
  }),
];

/** A session's first rows: nothing is in its cache yet. */
function attentionWords(): Words {
  const q = input(ROWS);
  const k = input(ROWS, DIM, 2);
  const ring = { kRing: 0, vRing: 4 * 8 * DIM, kRingUnrotated: -1, kPinned: -1, kPinnedUnrotated: -1, vPinned: -1 };
  return {
    ...{ q, qFixed: q, k, kUnrotated: k, v: input(ROWS, DIM, 3), ...ring, ...HEADS, scale: bits(0.3) },
    ...{ nLocal: 8, headBytes: 4 * 12, scratch: bench.take(3 * Size.ScratchBytes) },
  };
}

/** The output's rows after the record has been executed in `slices` slices. */
function run({ op: code, names, rowBytes, out, words }: Case, span: op.Span, slices: number): number[][] {
  bench.clear();
  const slot = bench.take(8 * 8 * DIM);
  bench.step(
    Array.from({ length: ROWS }, (_, i) => ({ token: i + 3, slot, runRows: ROWS, position: BigInt(i) })),
    [3, 1, 5, 6, 0, 2, 4],
  );
  bench.span(FIRST, COUNT);
  const given = words();
  if ("targets" in given) bench.bytes.fill(0, given.targets, (given.targets as number) + 4 * ROWS);
  if ("scratch" in given) bench.bytes.fill(0, given.scratch, (given.scratch as number) + 3 * Size.ScratchBytes);
  const address = bench.take(ROWS * rowBytes);
  bench.execute(code, names, { ...given, [out]: address } as Partial<Record<keyof object, number>>, { span, slices });
  return Array.from({ length: ROWS }, (_, row) => [
    ...bench.bytes.subarray(address + row * rowBytes, address + (row + 1) * rowBytes),
  ]);
}

test.each(CASES)("%s", (_, subject) => {
  const before = run(subject, Span.All, 0);
  const all = run(subject, Span.All, 1);
  expect(all).not.toEqual(before);
  const wanted = all.map((row, i) => (i >= FIRST && i < FIRST + COUNT ? row : before[i]));
  for (const slices of [1, 2, 3]) expect(run(subject, Span.Logits, slices)).toEqual(wanted as number[][]);
});

test("a span that the step does not have traps", () => {
  bench.clear();
  bench.rows(1);
  const words = { x: input(1), y: bench.take(4 * DIM), dim: DIM };
  expect(() => bench.execute(Op.Tap, op.Tap, words, { span: Size.Spans as number as op.Span })).toThrow();
});
