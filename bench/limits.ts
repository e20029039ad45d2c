/** What rows of docs/PERFORMANCE.md are bound by, in figures of the same run. */
import { type All, type Line, number, rowsOf } from "./found.ts";
import { configOf, tensorsOf } from "./peers/shapes.ts";
import type { Row } from "./report.ts";

/** From cache no faster than this: memory is not what is waited for. */
const CACHED_GAIN = 1.15;
const NEAR_READ = 0.95;

const times = (value: number | undefined): string => (value === undefined ? "–" : value.toFixed(2));

/** A format's single row, in Bun and Node: whether a matrix from cache is faster, and how near it is to multiplying. */
export function oneRow(rows: readonly (Row | undefined)[]): string {
  const [bun, two] = rows;
  if ((number(bun, "ofRead") ?? 0) >= NEAR_READ && (number(two, "ofRead") ?? 0) >= NEAR_READ) return "memory";
  const gain = (row: Row | undefined) => {
    const [memory, cached] = [number(row, "decodeGBs"), number(row, "cachedGBs")];
    return memory && cached && cached / memory;
  };
  const gains = [gain(bun), gain(two)];
  const what = gains.every((value) => value !== undefined && value < CACHED_GAIN)
    ? "instructions"
    : "memory and instructions";
  if (gains.every((value) => value === undefined)) return `not measured from cache; ${ofPeak(rows)}`;
  return `${what}: from cache ${gains.map(times).join(", ")} × as fast; ${ofPeak(rows)}`;
}

function ofPeak([bun, two]: readonly (Row | undefined)[]): string {
  return `${times(number(bun, "ofPeakOne"))}, ${times(number(two, "ofPeakOne"))} of the multiply loop`;
}

/** A format's 128 rows: what is not multiplying. */
export function manyRows([bun]: readonly (Row | undefined)[]): string {
  const share = number(bun, "ofPeak");
  if (share === undefined) return "–";
  return `instructions: multiplying is ${times(share)} of the time, unpacking, loading and scaling are the rest`;
}

/** Multiplications and additions of a token of TinyLlama's shape: its matrices, without the table of embeddings. */
function operationsPerToken(): number {
  const sizes = tensorsOf(configOf("tinyllama-1.1b"))
    .filter(({ name, shape }) => shape.length === 2 && !name.includes("embed"))
    .map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  return 2 * sizes.reduce((a, b) => a + b, 0);
}

/** Our multiply loop's speed for a format, and the read loop's, with two threads. */
function roofOf(all: All, dtype: string) {
  const row = rowsOf(all["kernels-bun"]).find((row) => row.dtype === dtype && row.threads === 2);
  return { peakGops: number(row, "peakGops"), readGBs: number(row, "readGBs") };
}

/** Another engine's speed beside what our loops could reach at most. */
export function peer(all: All, { peer, format, threads, ours }: Row): string {
  const rows = all.peers?.tables["tokens per second"] ?? [];
  const their = rows.find((row) => row.peer === peer && row.format === format && row.threads === threads);
  const { peakGops } = roofOf(all, ours as string);
  const prefill = number(their, "prefillTokensPerSecond");
  if (!prefill || !peakGops) return "–";
  const share = (prefill * operationsPerToken()) / 1e9 / peakGops;
  return `their 128 tokens are at ${times(share)} of our multiply loop's speed, which is 128 bits wide`;
}

/** Steps of few rows: how near they are to multiplying. */
export function batch(all: All, row: Row): string {
  const { peakGops } = roofOf(all, "q4");
  const rate = number(row, "tokensPerSecond");
  if (!peakGops || !rate) return "–";
  return `${times((rate * operationsPerToken()) / 1e9 / peakGops)} of the multiply loop's speed`;
}

/** The parts of a token that take most of it, by the number of threads, or with that number alone. */
export function token(all: All, run: string, only?: number): string {
  const rows = rowsOf(all[run]);
  const counts = [...new Set(rows.map(({ threads }) => threads as number))].filter(
    (n) => only === undefined || n === only,
  );
  return counts
    .map((threads) => {
      const own = rows.filter(
        (row) => row.threads === threads && row.part !== "a token" && row.part !== "all records by all threads",
      );
      // Records are measured with one thread, and shared by all.
      const parts = own
        .map((row) => ({ part: String(row.part).replace(", one thread", ""), share: shareOf(row, threads) }))
        .toSorted((a, b) => b.share - a.share)
        .slice(0, 3);
      return `${threads} thread${threads > 1 ? "s" : ""}: ${parts.map(({ part, share }) => `${part} ${times(share)}`).join(", ")}`;
    })
    .join("; ");
}

function shareOf(row: Row, threads: number): number {
  const share = number(row, "share") ?? 0;
  return String(row.part).endsWith(", one thread") ? share / threads : share;
}

/** Attention of grouped queries. */
export function attention(all: All, row: Row | undefined): Line {
  const peak = rowsOf(all["kernels-bun"]).find(({ dtype, threads }) => dtype === "f32" && threads === 1);
  const [gops, peakGops] = [number(row, "gops"), number(peak, "peakGops")];
  const found = [number(row, "ofRead"), gops && peakGops && gops / peakGops];
  return { what: "TinyLlama's shape", found, least: [0.8, 0.8], limit: "instructions: loads beside products, e^x" };
}

/** What is left of a choice without the pass over all logits that a greedy one is. */
export function choosing(rows: readonly Row[], { logits, ms }: Row): string {
  const pass = number(
    rows.find((row) => row.logits === logits && row.how === "greedy"),
    "ms",
  );
  if (pass === undefined) return "–";
  const rest = (ms as number) - pass;
  return rest > 0
    ? `a pass over the logits ${times(pass)}, weights and order ${times(rest)}`
    : "a pass over the logits";
}
