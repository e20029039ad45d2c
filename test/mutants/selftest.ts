/** The known-answer test is what stands between a broken engine and silent nonsense: kernels that are wrong must fail it. */
import { expect, test } from "bun:test";
import { LambentError } from "../../src/base/errors.ts";
import { type Build, loadKernels } from "../../src/machine/kernels.ts";
import { bun } from "../../src/runtime/bun.ts";
import { compile, type Mutation } from "./mutant.ts";

const BROKEN: readonly (Mutation & { readonly what: string })[] = [
  {
    what: "matmul subtracts in one place",
    file: "matmul_f.ts",
    from: "c1 = mulAdd(c1, w1, u);\n    u = v128.load(x + x3);",
    to: "c1 = f32x4.sub(c1, f32x4.mul(w1, u));\n    u = v128.load(x + x3);",
  },
  { what: "a quantised block uses another's scale", file: "matmul_q.ts", from: "scales += 4;", to: "" },
  {
    what: "a tile mistakes its sums",
    file: "tile_q.ts",
    from: "let b0 = startOf<N, S>(v128.load32_splat(at + behind + x1))",
    to: "let b0 = startOf<N, S>(v128.load32_splat(at + behind))",
  },
  {
    what: "a fifth bit is doubled once less",
    file: "block_q.ts",
    from: "g0 = i8x16.add(g0, g0);",
    to: "",
  },
  {
    what: "a minimum is another row's",
    file: "scales_q.ts",
    from: "factors<S>(minimums + 4)",
    to: "factors<S>(minimums)",
  },
  {
    what: "a nibble is not masked",
    file: "dots.ts",
    from: "return v128.and(i16x8.relaxed_q15mulr_s(v128.and(b, upper), factor), low);",
    to: "return i16x8.relaxed_q15mulr_s(v128.and(b, upper), factor);",
  },
  {
    what: "codes are rounded down",
    file: "codes.ts",
    from: "f32x4.nearest(f32x4.mul(x",
    to: "f32x4.floor(f32x4.mul(x",
  },
  {
    what: "the sieve keeps what is worse",
    file: "recall.ts",
    from: "product > load<f32>(heap)",
    to: "product < load<f32>(heap)",
  },
  {
    what: "what makes a query's codes positive is not taken out again",
    file: "codes.ts",
    from: "i32x4.sub(sums(a, b, c, d), added)",
    to: "sums(a, b, c, d)",
  },
  {
    what: "heads look back that should not, and no others",
    file: "recall.ts",
    from: "gateOf(work, i) != Infinity && ",
    to: "gateOf(work, i) == Infinity && ",
  },
  {
    what: "the distances of tokens before are not looked at",
    file: "recall.ts",
    from: "if (distance) offer(",
    to: "if (!distance) offer(",
  },
  {
    what: "a key runs on once a token less has chosen at its distance",
    file: "chosen.ts",
    from: "times >= <u32>Code.RunTimes",
    to: "times + 1 >= <u32>Code.RunTimes",
  },
  {
    what: "what is kept of the chosen keys is kept for another token",
    file: "chosen.ts",
    from: "runsAt(record, head, load<u64>(row, Row.position))",
    to: "runsAt(record, head, load<u64>(row, Row.position) + 1)",
  },
  { what: "a shuffle takes a wrong lane", file: "simd.ts", from: "(a, b, 2, 6, 3, 7)", to: "(a, b, 2, 6, 3, 6)" },
  {
    what: "additions in another order",
    file: "simd.ts",
    from: "f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3))",
    to: "f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3)",
  },
  { what: "rope turns backwards", file: "rope.ts", from: "f32x4.sub(f32x4.mul(a, c)", to: "f32x4.add(f32x4.mul(a, c)" },
  { what: "a constant of exp is off", file: "math.ts", from: "1.6666665459e-1", to: "1.6667e-1" },
  { what: "a constant of the hash is off", file: "hash.ts", from: "0xc2b2ae3d27d4eb4f", to: "0xc2b2ae3d27d4eb4d" },
  { what: "store misses a place", file: "cache.ts", from: "if (later < nLocal)", to: "if (later + 1 < nLocal)" },
  {
    what: "attention misses a key",
    file: "attention_keys.ts",
    from: "position - nLocal + 1 : origin",
    to: "position - nLocal + 2 : origin",
  },
  {
    what: "a tile of attention skips a product",
    file: "attention_values.ts",
    from: "b3 = mulAdd(b3, weight, y);",
    to: "b3 = f32x4.add(b3, y);",
  },
  { what: "int8 keys are cut off", file: "cache_format.ts", from: "nearest((load", to: "floor((load" },
  { what: "bf16 keys are cut off", file: "cache_format.ts", from: "0x7fff + ((bits", to: "((bits" },
  { what: "bf16 is cut off", file: "half.ts", from: "i32x4.splat(0x7fff)", to: "i32x4.splat(0)" },
];

const good = () => bun.kernels("single-plain");
const builds: readonly Build[] = ["single-relaxed", "single-plain"];

test("the optimiser changes no bit, so that mutants need none", async () => {
  const bytes = await compile("single-plain", []);
  expect((await loadKernels(async () => bytes, ["single-plain"])).build).toBe("single-plain");
});

test.each(BROKEN)(
  "$what: the broken build is passed over for the good one",
  async (mutation) => {
    const bytes = await compile("single-relaxed", [mutation]);
    const source = (build: Build) => (build === "single-relaxed" ? Promise.resolve(bytes) : good());
    expect((await loadKernels(source, builds)).build).toBe("single-plain");
  },
  60_000,
);

test("broken builds only: an error that names both, and what they compute", async () => {
  const bytes = await compile("single-plain", [BROKEN[0]!]);
  const failure = await loadKernels(async () => bytes, builds).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(LambentError);
  const known = "computes [0-9a-f]+ for [0-9a-f]+ in run 1 of [a-z0-9_ ]+";
  expect((failure as Error).message).toMatch(
    new RegExp(
      `^kernels: expected a build that runs here, found none: single-relaxed ${known}; single-plain ${known}$`,
    ),
  );
});
