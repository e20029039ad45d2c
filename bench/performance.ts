import { type All, type Line, number, rowsOf } from "./found.ts";
import * as limits from "./limits.ts";
import type { Row } from "./report.ts";

/** A part of the page: a table of what some suites found. */
export interface Part {
  readonly title: string;
  readonly columns: readonly string[];
  readonly lines: readonly Line[];
}

const RUNTIMES = ["bun", "node"] as const;
/** What figures of suites that run in both stand in. */
const WHERE = RUNTIMES.flatMap((runtime) => [1, 2].map((threads) => ({ runtime, threads })));
const WHERE_COLUMNS = ["Bun, 1 thread", "2", "Node 24, 1 thread", "2"];

/** Matmuls by format: one row beside the read loop, 128 beside the multiply loop. */
export function kernelParts(all: All): Part[] {
  const dtypes = [...new Set(rowsOf(all["kernels-bun"]).map(({ dtype }) => dtype as string))];
  const of = (dtype: string) =>
    WHERE.map(({ runtime, threads }) =>
      rowsOf(all[`kernels-${runtime}`]).find((row) => row.dtype === dtype && row.threads === threads),
    );
  const lines = (key: string, least: readonly number[], limit: (rows: readonly (Row | undefined)[]) => string) =>
    dtypes.map((dtype): Line => {
      const rows = of(dtype);
      return { what: dtype, found: rows.map((row) => number(row, key)), least, limit: limit(rows) };
    });
  return [
    {
      title: "One row: share of the read loop's speed, weights from memory",
      columns: WHERE_COLUMNS,
      lines: lines("ofRead", [0.95, 0.95, 0.95, 0.95], limits.oneRow),
    },
    {
      title: "128 rows: share of the multiply loop's speed",
      columns: WHERE_COLUMNS,
      lines: lines("ofPeak", [0.85, 0.85, 0.8, 0.8], limits.manyRows),
    },
  ];
}

/** The same machine's other engines. */
export function peerParts(all: All): Part[] {
  const ratios = all.peers?.tables["we in parts of them"] ?? [];
  const real = (all.gemma?.tables.medians ?? []).filter(({ peer }) => !String(peer).startsWith("lambent"));
  return [
    {
      title: "Other engines, TinyLlama's shape: our speed ÷ theirs",
      columns: ["decode", "128 tokens"],
      lines: ratios.map((row) => ({
        what: `${row.ours} beside ${row.format} of ${row.peer}, ${row.threads} threads`,
        found: [number(row, "decode"), number(row, "prefill")],
        least: String(row.peer).includes("native") ? (row.ours === "bf16" ? [0.95, 0.8] : [1, 1]) : [1, 1],
        limit: limits.peer(all, row),
      })),
    },
    {
      title: "Gemma 3 270M from its GGUF: our speed in Bun ÷ theirs",
      columns: ["decode", "512 tokens"],
      lines: real.map((row) => ({
        what: `${row.peer}, ${row.threads} threads`,
        found: [number(row, "ofDecode"), number(row, "ofPrefill")],
        least: String(row.peer).includes("native") ? [1, 0.8] : [6, undefined],
        limit: "the formats above: its matrices are q5_0, q4_k, q6_k, q8_0",
      })),
    },
  ];
}

/** What belongs to no format or engine. */
export function otherParts(all: All): Part[] {
  const steps = (run: string, part: string, threads: number) => {
    return rowsOf(all[run]).find((row) => row.part === part && row.threads === threads);
  };
  const choosing = rowsOf(all["choose-bun"]);
  return [
    batchPart(all),
    {
      title: "A whole token: share of the read loop's speed over its bytes",
      columns: WHERE_COLUMNS,
      lines: [
        ["step", "embedded model, f32, position 128"],
        ["step-tinyllama", "TinyLlama's shape, q4, position 144"],
      ].map(([run = "", what = ""]) => ({
        what,
        found: WHERE.map(({ runtime, threads }) => number(steps(`${run}-${runtime}`, "a token", threads), "ofRead")),
        least: WHERE.map(() => 0.9),
        limit: limits.token(all, `${run}-bun`),
      })),
    },
    {
      title: "Attention alone at 2,048 keys, 8 queries for each, one thread",
      columns: ["of the read loop's speed", "of the f32 multiply loop's"],
      lines: [limits.attention(all, steps("step-attention", "Attention, one thread", 1))],
    },
    {
      title: "The embedded model in f32: speed ÷ that of plain C (-Ofast -march=native)",
      columns: ["decode in Bun", "Node 24"],
      lines: rowsOf(all.forward).map((row) => ({
        what: row.threads === 1 ? "1 thread" : `${row.threads} threads`,
        found: [number(row, "bun"), number(row, "node")],
        least: row.threads === 2 ? [0.9, 0.9] : undefined,
        limit: limits.token(all, "step-bun", row.threads as number),
      })),
    },
    {
      title: "Choosing a token from 262,144, milliseconds, one thread",
      columns: ["Bun", "Node 24"],
      lines: choosing.map((row) => {
        const other = rowsOf(all["choose-node"]).find(({ logits, how }) => logits === row.logits && how === row.how);
        return {
          what: `${row.logits} logits, ${row.how}`,
          found: [number(row, "ms"), number(other, "ms")],
          most: 0.3,
          limit: limits.choosing(choosing, row),
        };
      }),
    },
    {
      title: "Prompts of 128 tokens, TinyLlama's shape in q4, 2 threads",
      columns: ["Bun, first ÷ later, in speed", "speed ÷ f32 cache's", "Node 24, first ÷ later", "÷ f32 cache's"],
      lines: rowsOf(all["prompts-bun"]).map((row) => {
        const other = rowsOf(all["prompts-node"]).find(({ cacheDtype }) => cacheDtype === row.cacheDtype);
        return {
          what: `cache ${row.cacheDtype}`,
          found: [row, other].flatMap((one) => [number(one, "ofLater"), number(one, "ofFirstCache")]),
          least: [0.9, 0.9, 0.9, 0.9],
          limit: "kernels are compiled by the engine while they first run",
        };
      }),
    },
    {
      title: "A busy second core: 2 threads ÷ 1, by second",
      columns: ["ratio"],
      lines: rowsOf(all.busy).map((row) => ({
        what: `${row.when}, second ${row.second}`,
        found: [number(row, "ofOne")],
        least: row.when === "one core busy" ? [0.95] : [1],
        limit: "trials of other thread counts",
      })),
    },
    {
      title: "Start of a process to the end of the first token, embedded model, milliseconds",
      columns: ["ms"],
      lines: rowsOf(all.startup).map((row) => ({
        what: String(row.what),
        found: [number(row, "ms")],
        limit: "code that runs once, see docs/LOG.md",
      })),
    },
  ];
}

/** Sessions that share steps: what they gain, and what of it one read of the weights for all would allow. */
function batchPart(all: All): Part {
  const gains = (runtime: string, sessions: number) => {
    const rows = rowsOf(all[`batch-${runtime}`]);
    const rate = (count: number) =>
      number(
        rows.find((row) => row.sessions === count),
        "tokensPerSecond",
      );
    const [one, many] = [rate(1), rate(sessions)];
    const prefill = number(rowsOf(all[`prompts-${runtime}`])[0], "laterMs");
    const gain = one && many && many / one;
    const bound = one && prefill ? Math.min(sessions, (1000 * 128) / prefill / one) : undefined;
    return [gain, gain && bound && gain / bound];
  };
  const rows = rowsOf(all["batch-bun"]).slice(1);
  return {
    title: "Sessions that generate at once, TinyLlama's shape in q4, 2 threads",
    columns: [
      "Bun, tokens/s of one's",
      "÷ what one read of the weights allows",
      "Node 24, of one's",
      "÷ what one allows",
    ],
    lines: rows.map((row) => ({
      what: `${row.sessions} sessions`,
      found: RUNTIMES.flatMap((runtime) => gains(runtime, row.sessions as number)),
      least: [1, 0.9, 1, 0.9],
      limit: limits.batch(all, row),
    })),
  };
}
