import {
  Angles,
  Attention,
  Clamp,
  Clip,
  Elementwise,
  Embed,
  Format,
  Gather,
  Matmul,
  Norm,
  Op,
  Rope,
  Row,
  Rows,
  Size,
  Step,
} from "../../assembly/op.ts";
import { Arena } from "./arena.ts";
import type { Kernels } from "./kernels.ts";

/**
 * What the small program below computes, as XXH64 over all of its buffers. The kernels themselves are compared with an f64
 * reference in the tests; this number says that an engine runs them as the engines did on which those tests passed.
 */
export const KNOWN_ANSWER = 0x4a54eb9ee4e7b992n;

/** Runs until every engine has compiled the kernels with its best compiler: some need a few dozen calls. */
const RUNS = 64;
const ROWS = 4;
const HEADS = 2;
const HEAD_DIM = 18;
const WIDTH = HEADS * HEAD_DIM;
const KEYS = 3;

/** Runs every kernel on values at their extremes, first cold, then hot. Undefined if the answers are right. */
export function selfTest(kernels: Kernels): string | undefined {
  try {
    const answers = knownAnswers(kernels);
    const wrong = answers.findIndex((answer) => answer !== KNOWN_ANSWER);
    if (wrong < 0) return undefined;
    return `computes ${(answers[wrong] as bigint).toString(16)} for ${KNOWN_ANSWER.toString(16)} in run ${wrong + 1}`;
  } catch (error) {
    return `fails its test: ${error instanceof Error ? error.message : error}`;
  }
}

/** The hash of every buffer after each run. */
export function knownAnswers(kernels: Kernels): bigint[] {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: kernels.shared });
  const { run, pack, expand, firstNonFinite, hashInit, hashUpdate, hashDigest } = kernels.instantiate(memory);
  const view = new DataView(memory.buffer);
  const arena = new Arena(Size.ControlBytes);

  // Inputs: a few decades of magnitude around 1, both signs, and in every eighth place something extreme.
  const extremes = [0, -0, 65504, -65504, 6e-8, -6e-8, 1e-30, 90];
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (state >>> 29 === 0) return extremes[(state >>> 20) & 7] as number;
    return Math.fround(((state & 0xffff) - 32768) / 2 ** ((state >>> 16) & 15));
  };
  const floats = (count: number): number => {
    const address = arena.take(4 * count);
    for (let i = 0; i < count; i++) view.setFloat32(address + 4 * i, next(), true);
    return address;
  };
  const begin = arena.end;
  const x = floats(ROWS * WIDTH);
  const source = floats(WIDTH * WIDTH);
  const weight = floats(WIDTH);
  const matrices = [Format.F32, Format.Bf16, Format.F16].map((format) => {
    const address = arena.take(WIDTH * WIDTH * 4 + WIDTH * 16);
    pack(address, source, 0, WIDTH, WIDTH, Format.F32, format);
    return address;
  });
  const back = arena.take(4 * WIDTH + 16);
  const turns = arena.take(8 * (HEAD_DIM / 2));
  for (let i = 0; i < HEAD_DIM / 2; i++) view.setBigUint64(turns + 8 * i, 0x9e3779b97f4a7c15n >> BigInt(5 * i), true);
  const slopes = floats(HEADS);
  const slot = floats(6 * HEADS * KEYS * HEAD_DIM);
  const scratch = arena.take(Size.ScratchBytes * 2);
  const outputs = arena.end;
  const buffer = (): number => arena.take(8 * ROWS * WIDTH);

  const words: number[][] = [];
  const record = (op: Op, rows: Rows, fields: Readonly<Record<number, number>>): void => {
    const list = new Array<number>(Size.RecordBytes / 4).fill(0);
    list[0] = op;
    list[1] = rows;
    for (const [field, value] of Object.entries(fields)) list[Number(field)] = value;
    words.push(list);
  };
  const bits = (value: number): number => {
    view.setFloat32(scratch, value, true);
    return view.getUint32(scratch, true);
  };
  const [embedded, q, k, angles] = [buffer(), buffer(), buffer(), buffer()] as const;
  const shape = { [Rope.heads]: HEADS, [Rope.headDim]: HEAD_DIM, [Rope.rotaryDim]: HEAD_DIM - 4 };
  const fixed = { [Angles.clamp]: Clamp.Sinks, [Angles.limit]: 0xfffffff1 };
  record(Op.Angles, Rows.All, {
    [Angles.out]: angles,
    [Angles.turns]: turns,
    [Angles.pairs]: (HEAD_DIM - 4) / 2,
    ...fixed,
  });
  for (const [format, table] of matrices.entries()) {
    record(Op.Embed, Rows.All, {
      [Embed.y]: embedded,
      [Embed.table]: table,
      [Embed.dim]: WIDTH,
      [Embed.format]: format,
    });
    const op = [Op.MatmulF32, Op.MatmulBf16, Op.MatmulF16][format] as Op;
    const matmul = {
      [Matmul.x]: x,
      [Matmul.weight]: table,
      [Matmul.bias]: weight,
      [Matmul.n]: WIDTH,
      [Matmul.k]: WIDTH,
    };
    record(op, Rows.All, { [Matmul.y]: buffer(), ...matmul });
  }
  for (const op of [Op.RmsNorm, Op.LayerNorm]) {
    const norm = { [Norm.x]: x, [Norm.weight]: weight, [Norm.bias]: source, [Norm.dim]: WIDTH, [Norm.eps]: bits(1e-5) };
    record(op, Rows.All, { [Norm.y]: buffer(), ...norm });
  }
  for (const op of [Op.SiluMul, Op.Gelu, Op.GeluTanh, Op.Add]) {
    record(op, Rows.All, {
      [Elementwise.y]: buffer(),
      [Elementwise.a]: x,
      [Elementwise.b]: source,
      [Elementwise.n]: WIDTH,
    });
  }
  record(Op.Gather, Rows.Logits, { [Gather.y]: buffer(), [Gather.x]: x, [Gather.dim]: WIDTH });
  record(Op.Rope, Rows.All, { [Rope.y]: q, [Rope.x]: x, [Rope.angles]: angles, ...shape });
  record(Op.Rope, Rows.All, {
    [Rope.y]: k,
    [Rope.x]: source,
    [Rope.angles]: angles,
    [Rope.interleaved]: 1,
    [Rope.fixed]: 1,
    ...shape,
  });
  record(Op.Clip, Rows.All, { [Clip.x]: embedded, [Clip.dim]: WIDTH, [Clip.bound]: bits(3) });
  const part = 4 * HEADS * KEYS * HEAD_DIM;
  const attention = {
    [Attention.q]: q,
    [Attention.qFixed]: x,
    [Attention.k]: k,
    [Attention.kUnrotated]: source,
    [Attention.v]: x,
    [Attention.kRing]: 0,
    [Attention.kRingUnrotated]: part,
    [Attention.vRing]: 2 * part,
    [Attention.kPinned]: 3 * part,
    [Attention.kPinnedUnrotated]: 4 * part,
    [Attention.vPinned]: 5 * part,
    [Attention.heads]: HEADS,
    [Attention.kvHeads]: HEADS,
    [Attention.headDim]: HEAD_DIM,
    [Attention.scale]: bits(2 ** -20),
    [Attention.nGlobal]: 2,
    [Attention.nLocal]: KEYS,
    [Attention.limit]: KEYS + 1,
    [Attention.scratch]: scratch,
  };
  for (const clamp of [Clamp.None, Clamp.Distance, Clamp.Sinks]) {
    const bias = { [Attention.slopes]: clamp === Clamp.None ? slopes : 0, [Attention.clamp]: clamp };
    record(Op.Attention, Rows.All, { [Attention.out]: buffer(), ...attention, ...bias });
  }
  record(Op.Store, Rows.All, attention);
  record(Op.End, Rows.All, {});

  const program = arena.take(words.length * Size.RecordBytes);
  new Uint32Array(memory.buffer, program, words.length * (Size.RecordBytes / 4)).set(words.flat());
  const step = arena.take(Size.StepHeaderBytes + ROWS * Size.RowBytes + 4);
  view.setUint32(step + 4 * Step.rows, ROWS, true);
  view.setUint32(step + 4 * Step.logitsRows, 1, true);
  view.setUint32(step + 4 * Step.logitsIndex, step + Size.StepHeaderBytes + ROWS * Size.RowBytes, true);
  view.setUint32(step + Size.StepHeaderBytes + ROWS * Size.RowBytes, ROWS - 1, true);
  for (let row = 0; row < ROWS; row++) {
    const at = step + Size.StepHeaderBytes + row * Size.RowBytes;
    view.setUint32(at + Row.token, row * 11 + 2, true);
    view.setUint32(at + Row.slot, slot, true);
    view.setUint32(at + Row.runRows, ROWS, true);
    view.setBigUint64(at + Row.position, 2n ** 53n - 100n + BigInt(row), true);
    view.setBigUint64(at + Row.origin, 2n ** 53n - 109n, true);
  }
  const hash = arena.take(Size.HashBytes);
  const cache = new Uint8Array(memory.buffer, slot, 6 * part);
  const saved = cache.slice();

  return Array.from({ length: RUNS }, () => {
    cache.set(saved);
    run(program, step, 0, 0, 1);
    const bad = expand(back, source + 2, WIDTH, Format.Bf16) + firstNonFinite(x, WIDTH);
    view.setInt32(back, bad, true);
    hashInit(hash);
    for (let at = begin; at < scratch; at += 61) hashUpdate(hash, at, Math.min(61, scratch - at));
    hashUpdate(hash, outputs, program - outputs);
    return BigInt.asUintN(64, hashDigest(hash));
  });
}
