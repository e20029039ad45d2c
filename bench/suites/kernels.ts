import { Size, Source, sourceBytes, sourceColumns } from "../../assembly/layout.ts";
import { DTYPES, type DType, KEPT, type MemoryDType } from "../../src/base/dtype.ts";
import type { StoredTensor } from "../../src/formats/checkpoint.ts";
import type { Bank } from "../../src/machine/bank.ts";
import { loadKernels } from "../../src/machine/kernels.ts";
import type { StepRow } from "../../src/machine/machine.ts";
import { type Program, Weights } from "../../src/models/program.ts";
import { LARGEST_BANK, plan } from "../../src/plan/plan.ts";
import { resolvePolicy } from "../../src/plan/policy.ts";
import { loadMachine } from "../../src/plan/read_weights.ts";
import { resolveWeights } from "../../src/plan/weights.ts";
import { detectHost } from "../../src/runtime/detect.ts";
import { Crew } from "../crew.ts";
import { type Budget, interleave } from "../interleave.ts";
import { Report } from "../report.ts";
import { type PeakName, Roof } from "../roof.ts";
import { BUILDS, collect, fillRandom } from "../subject.ts";
import { budgetOf, resultsOf, type SuiteFlags } from "./options.ts";

/** Outputs × inputs of matrices in LLaMA-7B and TinyLLaMA-1.1B. */
const SHAPES = ["4096x4096", "11008x4096", "2048x2048", "5632x2048", "2048x5632", "32000x2048"];
const PREFILL_ROWS = 128;
/** Distinct weights that are gone through, so that they come from memory: several times any last-level cache. */
const POOL_BYTES = 640 * 2 ** 20;
/** What is read again and again below this is in cache. */
const CACHED_BYTES = 24 * 2 ** 20;
const THREADS = 2;
/** Bits of a weight, scales not counted, and the multiply loop that bounds each format. */
const BITS: Readonly<Record<MemoryDType, number>> = {
  ...{ f32: 32, bf16: 16, f16: 16, q8: 8, q7: 8, q4: 4 },
  ...{ q8_0: 8, q6_k: 8, q5_0: 5, q5_k: 5, q4_0: 4, q4_k: 4, q2_k: 4 },
};
const PEAK_OF: Readonly<Record<MemoryDType, PeakName>> = {
  ...{ f32: "f32", bf16: "f32", f16: "f32", q8: "i16", q7: "i8", q4: "i8" },
  ...{ q8_0: "i16", q6_k: "i16", q5_0: "i8", q5_k: "i8", q4_0: "i8", q4_k: "i8", q2_k: "i8" },
};
const FORMATS: readonly MemoryDType[] = [...DTYPES, ...KEPT];

export interface KernelsFlags extends SuiteFlags {
  readonly shapes?: string[];
  readonly dtypes?: string[];
  readonly threads: number[];
}

/** Matmuls of every weight format alone: of one row beside the read loop, of many beside the multiply loops. */
export async function kernels(flags: KernelsFlags): Promise<void> {
  const report = new Report("kernels", resultsOf(flags));
  const crew = await Crew.open(THREADS);
  const budget = budgetOf(flags, 1000);
  const shapes = flags.shapes ?? (flags.quick ? SHAPES.slice(2, 3) : SHAPES);
  const pool = flags.quick ? 2 ** 26 : POOL_BYTES;
  const dtypes = (flags.dtypes ?? FORMATS) as MemoryDType[];
  const add = report.table("matmul", {
    shape: "n × k",
    dtype: "dtype",
    threads: "threads",
    decodeGBs: "1 row, GB/s",
    readGBs: "read, GB/s",
    ofRead: "of read",
    cachedGBs: "cached, GB/s",
    ofCachedRead: "of read",
    ofPeakOne: "of peak",
    prefillGops: `${PREFILL_ROWS} rows, Gop/s`,
    peak: "peak",
    peakGops: "Gop/s",
    ofPeak: "of peak",
  });
  for (const shape of shapes) {
    const [n, k] = shape.split("x").map(Number) as [number, number];
    for (const dtype of dtypes) {
      const matmul = await openMatmul(n, k, dtype, pool, crew);
      for (const threads of flags.threads) {
        add({ shape, dtype, threads, ...(await matmul.measure(threads, budget)) });
      }
      await crew.forget();
      collect();
    }
  }
  await crew.close();
  await report.write();
}

/** Many matrices of one shape and format, planned, packed and executed as those of a model. */
async function openMatmul(n: number, k: number, dtype: MemoryDType, pool: number, crew: Crew) {
  const { plan, copies, bytes } = planCopies(n, k, dtype, pool);
  const { kernels } = await detectHost();
  const build = await loadKernels(kernels, BUILDS.shared);
  const { machine } = await loadMachine(plan, {}, build);
  const bank = machine.banks[0] as Bank;
  // Activations lie where weights were staged, before the program.
  const begin = plan.staging[0] as number;
  const end = Math.min(...plan.constants.map(({ address }) => address).filter((address) => address >= begin));
  const instance = await crew.instantiate(
    await WebAssembly.compile((await kernels(build.build)) as BufferSource),
    bank.memory,
  );
  const roof = await Roof.over(bank.memory, crew);

  const peak = PEAK_OF[dtype];
  let turn = 0;
  /** The copy whose turn it is; it was used as long ago as can be. */
  const next = () => copies[turn++ % copies.length] as Copy;
  const execute = ({ records }: Copy, threads: number) =>
    records.reduce((ms, record) => {
      return ms + crew.call(instance, "execute", threads, (thread) => [record, bank.plan.step, thread, threads]);
    }, 0);
  const beside = (copy: () => Copy, threads: number, budget: Budget) =>
    interleave(
      { kernel: () => execute(copy(), threads), read: () => roof.read(copy().weight, bytes, threads) },
      budget,
    );
  return {
    async measure(threads: number, budget: Budget) {
      machine.tune(threads);
      // They are numbers too.
      fillRandom(bank.bytes(begin, end - begin));
      machine.write(rows(1));
      const decode = await beside(next, threads, budget);
      const first = copies[0] as Copy;
      const cached = bytes <= CACHED_BYTES ? await beside(() => first, threads, budget) : undefined;
      machine.write(rows(PREFILL_ROWS));
      const multiply = () => roof.multiply(peak, threads);
      const prefill = await interleave({ kernel: () => execute(next(), threads), multiply }, budget);
      const [one, operations] = [2 * n * k, 2 * n * k * PREFILL_ROWS];
      const peakOperations = roof.operations(peak, threads);
      const peakGops = peakOperations / prefill.median("multiply") / 1e6;
      return {
        decodeGBs: bytes / decode.median("kernel") / 1e6,
        readGBs: bytes / decode.median("read") / 1e6,
        ofRead: decode.ratio("read", "kernel"),
        cachedGBs: cached && bytes / cached.median("kernel") / 1e6,
        ofCachedRead: cached?.ratio("read", "kernel"),
        ofPeakOne: one / (cached ?? decode).median("kernel") / 1e6 / peakGops,
        prefillGops: operations / prefill.median("kernel") / 1e6,
        peak,
        peakGops,
        ofPeak: prefill.ratio("multiply", "kernel") * (operations / peakOperations),
      };
    },
  };
}

/** Addresses of a matrix and of the records that multiply with it. */
interface Copy {
  readonly weight: number;
  readonly records: readonly number[];
}

/** A program of matmuls alone: as many copies of one as fill `pool` bytes, and at least two. */
function planCopies(n: number, k: number, dtype: MemoryDType, pool: number) {
  const weights = new Weights();
  const program: Program = {
    ...{ modelType: "matmul", withoutEffect: [], vocabSize: 4, trainedLength: 1 },
    buffers: { hidden: k, y: n, logits: 4 },
    weights: weights.all,
    ...{ embed: [], head: [] },
    layers: Array.from({ length: Math.max(2, Math.ceil((8 * pool) / BITS[dtype] / n / k)) }, (_, i) => [
      weights.linear("y", "hidden", `copy${i}`, n, k, false),
    ]),
  };
  // Formats that keep blocks are named after a type of them.
  const kept = KEPT.some((format) => format === dtype);
  const type = kept ? dtype.toUpperCase() : "BF16";
  const from = Source[(kept ? type : "Bf16") as keyof typeof Source];
  const size = (n * k * sourceBytes(from)) / sourceColumns(from);
  const source = { name: "random", size, readInto: async (target: Uint8Array) => fillStored(target, kept), close };
  const stored = (name: string): StoredTensor => ({ name, dtype: type, shape: [n, k], begin: 0, end: size, source });
  const tensors = new Map([...weights.all.keys()].map((name) => [name, stored(name)]));
  const policy = resolvePolicy({ nGlobal: 0, nLocal: 1 }, 1);
  const options = {
    chunkSize: PREFILL_ROWS,
    targetGap: Infinity,
    logitsRows: 1,
    maxSessions: 1,
    bankBytes: LARGEST_BANK,
    cacheDtype: "f32" as const,
    repeatLastN: 1,
  };
  const planned = plan(
    program,
    resolveWeights(program, tensors, kept ? "auto" : (dtype as DType), "random"),
    policy,
    options,
  );
  // A copy's records end with the one that reads its weight.
  const copies: Copy[] = [];
  let records: number[] = [];
  for (const [i, { weightBytes }] of (planned.records[0] ?? []).entries()) {
    records.push((planned.segments[0]?.program ?? 0) + i * Size.RecordBytes);
    if (weightBytes === 0) continue;
    copies.push({ weight: planned.weights[copies.length]?.address ?? 0, records });
    records = [];
  }
  return { plan: planned, copies, bytes: planned.weightBytes / copies.length };
}

/** Random numbers; blocks have f16 anywhere, of which none may be infinite. */
function fillStored(target: Uint8Array, blocks: boolean): void {
  fillRandom(target);
  if (blocks) for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) & 0xbf;
}

async function close(): Promise<void> {}

function rows(count: number): StepRow[] {
  return Array.from({ length: count }, (_, position) => ({
    token: 0,
    slot: 0,
    position,
    origin: 0,
    wantsLogits: false,
  }));
}
