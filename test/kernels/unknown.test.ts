/** A record that the kernels do not know traps: a planner that is wrong ends, and computes nothing else instead. */
import { expect, test } from "bun:test";
import { Format, Source } from "../../assembly/layout.ts";
import { Embed, Matmul, Op, Quantize } from "../../assembly/op.ts";
import { Bench, SINGLE_BUILDS } from "./harness.ts";

/** Numbers of a row, rows of the largest panel. */
const [K, PANEL] = [32, 16];
/** The first numbers that no operation, no format and no source has. */
const UNKNOWN_OP = Math.max(...Object.values(Op).filter((op) => typeof op === "number")) + 1;
const UNKNOWN_FORMAT = Math.max(...Object.values(Format).filter((format) => typeof format === "number")) + 1;
const UNKNOWN_SOURCE = Math.max(...Object.values(Source).filter((source) => typeof source === "number")) + 1;

test.each(SINGLE_BUILDS)("%s traps on an unknown operation, and on an unknown format of any record", async (build) => {
  const bench = await Bench.open(build);
  bench.rows(1);
  const [y, x] = [bench.output(PANEL * K), bench.floats(new Float32Array(PANEL * K))];
  const work = bench.work();
  const records = (format: number, source: number) => [
    () => bench.execute(Op.Matmul, Matmul, { y, x, weight: x, n: 1, k: K, format, work }),
    () => bench.execute(Op.Quantize, Quantize, { y, x, k: K, format }),
    () => bench.execute(Op.Embed, Embed, { y, table: x, dim: K, format, work }),
    () => bench.pack({ dst: y, src: x, rows: 1, k: K, source: Source.F32, target: format }),
    () => bench.pack({ dst: y, src: x, rows: 1, k: K, source, target: Format.F32 }),
  ];
  for (const known of records(Format.F32, Source.F32)) known();
  for (const unknown of records(UNKNOWN_FORMAT, UNKNOWN_SOURCE)) expect(unknown).toThrow(WebAssembly.RuntimeError);
  expect(() => bench.execute(UNKNOWN_OP as Op, Matmul, { y, x })).toThrow(WebAssembly.RuntimeError);
});
