import type { Row } from "./report.ts";

/** The results of one suite: what Report writes. */
export interface Found {
  readonly command: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly notes: readonly string[];
  readonly tables: Readonly<Record<string, readonly Row[]>>;
}

/** A row of the page. */
export interface Line {
  readonly what: string;
  /** In the order of the table's columns. */
  readonly found: readonly (number | undefined)[];
  /** At least; undefined: nothing was set. */
  readonly wanted?: string | undefined;
  readonly limit: string;
}

/** A part of the page: a table of what some suites found. */
export interface Part {
  readonly title: string;
  readonly columns: readonly string[];
  readonly lines: readonly Line[];
}

const [NEAR_READ, NEAR_PEAK, CACHED_GAIN] = [0.9, 0.85, 1.15];

/** All rows of the only table of a suite. */
function rowsOf(found: Found | undefined): readonly Row[] {
  return Object.values(found?.tables ?? {})[0] ?? [];
}

function number(row: Row | undefined, key: string): number | undefined {
  return row === undefined ? undefined : (row[key] as number | undefined);
}

const WHERE = [
  ["kernels-bun", 1],
  ["kernels-bun", 2],
  ["kernels-node", 1],
  ["kernels-node", 2],
] as const;
const WHERE_COLUMNS = ["Bun, 1 thread", "2", "Node 24, 1 thread", "2"];

/** Matmuls by format: one row beside the read loop, 128 beside the multiply loop. */
export function kernelParts(all: Readonly<Record<string, Found>>): Part[] {
  const dtypes = [...new Set(rowsOf(all["kernels-bun"]).map(({ dtype }) => dtype as string))];
  const of = (dtype: string) =>
    WHERE.map(([run, threads]) => rowsOf(all[run]).find((row) => row.dtype === dtype && row.threads === threads));
  const lines = (key: string, wanted: string, limit: (row: Row | undefined) => string) =>
    dtypes.map((dtype): Line => {
      const rows = of(dtype);
      return { what: dtype, found: rows.map((row) => number(row, key)), wanted, limit: limit(rows[1]) };
    });
  return [
    {
      title: "One row: share of the read loop's speed, weights from memory",
      columns: WHERE_COLUMNS,
      lines: lines("ofRead", "0.95", readLimit),
    },
    {
      title: "128 rows: share of the multiply loop's speed",
      columns: WHERE_COLUMNS,
      lines: lines("ofPeak", "0.85, 0.80 in Node", (row) =>
        (number(row, "ofPeak") ?? 0) >= NEAR_PEAK ? "multiplying" : "unpacking and loading, beside multiplying",
      ),
    },
  ];
}

/** What one row is bound by, as far as the same matrix from cache tells. */
function readLimit(row: Row | undefined): string {
  const [memory, cached] = [number(row, "decodeGBs") ?? 0, number(row, "cachedGBs") ?? 0];
  if ((number(row, "ofRead") ?? 0) >= NEAR_READ) return "memory";
  return cached > CACHED_GAIN * memory ? "memory, and unpacking beside it" : "instructions: no faster from cache";
}

/** The same machine's other engines. */
export function peerParts({ peers, gemma }: Readonly<Record<string, Found>>): Part[] {
  const ratios = peers?.tables["we in parts of them"] ?? [];
  const real = (gemma?.tables.medians ?? []).filter(({ peer }) => !String(peer).startsWith("lambent"));
  return [
    {
      title: "Other engines, TinyLlama's shape: our speed ÷ theirs",
      columns: ["decode", "128 tokens"],
      lines: ratios.map((row) => ({
        what: `${row.ours} beside ${row.format} of ${row.peer}, ${row.threads} threads`,
        found: [number(row, "decode"), number(row, "prefill")],
        wanted: row.ours === "bf16" ? "0.95; 0.8" : "1.0; 1.0",
        limit: "native code has wider vectors, and matrix units where the machine has them",
      })),
    },
    {
      title: "Gemma 3 270M from its GGUF: our speed in Bun ÷ theirs",
      columns: ["decode", "512 tokens"],
      lines: real.map((row) => ({
        what: `${row.peer}, ${row.threads} threads`,
        found: [number(row, "ofDecode"), number(row, "ofPrefill")],
        wanted: String(row.peer).includes("native") ? "1.0; 0.8 without matrix units" : "6; –",
        limit: "as above",
      })),
    },
  ];
}

/** What belongs to no format or engine. */
export function otherParts(all: Readonly<Record<string, Found>>): Part[] {
  const batch = rowsOf(all.batch);
  const one = batch[0]?.tokensPerSecond as number | undefined;
  const prefill = number(rowsOf(all.prompts)[0], "laterMs");
  const rate = prefill === undefined ? undefined : (1000 * 128) / prefill;
  const steps = (run: string, part: string, threads: number) => {
    return rowsOf(all[run]).find((row) => row.part === part && row.threads === threads);
  };
  const choosing = rowsOf(all.choose).filter(({ tokens }) => tokens === 262144);
  const forward = rowsOf(all.forward);
  return [
    {
      title: "Sessions that generate at once, TinyLlama's shape in q4, 2 threads",
      columns: ["tokens/s of one's", "÷ what one read of the weights allows"],
      lines: batch.slice(1).map(({ sessions, tokensPerSecond }) => {
        const gain = one === undefined ? undefined : (tokensPerSecond as number) / one;
        const bound = one && rate ? Math.min(sessions as number, rate / one) : undefined;
        return {
          what: `${sessions} sessions`,
          found: [gain, gain && bound && gain / bound],
          wanted: "1.0; 0.9",
          limit: "tiles for few rows multiply less than their peak",
        };
      }),
    },
    {
      title: "A whole token: share of the read loop's speed over its bytes",
      columns: ["1 thread", "2 threads"],
      lines: [
        ["step", "embedded model, f32, position 128", "0.9", "event loop and choosing, see `bench step`"],
        ["step-tinyllama", "TinyLlama's shape, q4, position 144", "0.9", "q4's matrices, then attention"],
        ["step-attention", "… position 2,048", "0.8 (attention alone)", "multiplying: 8 queries share each key"],
      ].map(([run = "", what = "", wanted, limit = ""]) => ({
        ...{ what, wanted, limit },
        found: [1, 2].map((threads) => number(steps(run, "a token", threads), "ofRead")),
      })),
    },
    {
      title: "Attention alone at 2,048 keys, 8 queries for each: share of the read loop's speed",
      columns: ["1 thread"],
      lines: [
        {
          what: "TinyLlama's shape",
          found: [number(steps("step-attention", "Attention, one thread", 1), "ofRead")],
          ...{ wanted: "0.8", limit: "multiplying" },
        },
      ],
    },
    {
      title: "The embedded model in f32: speed ÷ that of plain C (-Ofast -march=native)",
      columns: ["decode"],
      lines: forward.map((row) => ({
        what: `${row.threads} threads`,
        found: [number(row, "ratio")],
        wanted: row.threads === 2 ? "0.9" : undefined,
        limit: "meeting of threads, the event loop, choosing: see `bench step`",
      })),
    },
    {
      title: "Choosing a token from 262,144, milliseconds, one thread",
      columns: ["ms"],
      lines: choosing.map((row) => ({
        what: `${row.logits} logits, ${row.how}`,
        found: [number(row, "ms")],
        wanted: "at most 0.3",
        limit: "a pass over all logits, exponentials, sorting, on one thread",
      })),
    },
    {
      title: "Prompts of 128 tokens, TinyLlama's shape in q4, 2 threads",
      columns: ["first ÷ later, in speed", "speed ÷ f32 cache's"],
      lines: rowsOf(all.prompts).map((row) => ({
        what: `cache ${row.cacheDtype}`,
        found: [number(row, "ofLater"), number(row, "ofFirstCache")],
        wanted: "0.9; 0.9",
        limit: "kernels are compiled by the engine while they first run",
      })),
    },
    {
      title: "A busy second core: 2 threads ÷ 1, by second",
      columns: ["ratio"],
      lines: rowsOf(all.busy).map((row) => ({
        what: `${row.when}, second ${row.second}`,
        found: [number(row, "ofOne")],
        wanted: row.when === "one core busy" ? "0.95" : "1.0",
        limit: "trials of other thread counts",
      })),
    },
    {
      title: "Start of a process to the end of the first token, embedded model, milliseconds",
      columns: ["ms"],
      lines: rowsOf(all.startup).map((row) => ({
        what: String(row.what),
        found: [number(row, "ms")],
        limit: "the runtime's own start and compiling modules",
      })),
    },
  ];
}
