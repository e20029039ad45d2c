import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measureSteps } from "../measure.ts";
import { each, PEERS, type Peer, type PeerResult } from "../peers/index.ts";
import { quiet } from "../peers/result.ts";
import { Report } from "../report.ts";
import { DTYPES } from "../subject.ts";
import { writeCheckpoint } from "../synthetic.ts";
import { budgetOf, resultsOf, type SuiteFlags } from "./options.ts";

export interface PeersFlags extends SuiteFlags {
  readonly model?: string;
  readonly dtypes?: string[];
  readonly threads: number[];
  readonly only?: string[];
}

const SHAPE = "tinyllama-1.1b";
/** The peers read 128 tokens and write 32: this is their middle. */
const POSITION = 144;
/** What is compared with what: formats of so many bits. */
const BITS: Readonly<Record<string, number>> = { f32: 32, bf16: 16, f16: 16, q8: 8, q7: 8, q4: 4 };

/** Peers on TinyLlama's shape, and us before and after them. */
export async function againstPeers(flags: PeersFlags): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "lambent-peers-"));
  const report = new Report("peers", resultsOf(flags));
  try {
    const model = flags.model ?? join(folder, SHAPE);
    if (!flags.model) writeCheckpoint(SHAPE, model);
    const add = report.table("tokens per second", {
      peer: "peer",
      version: "version",
      format: "format",
      threads: "threads",
      prefillTokensPerSecond: "128 tokens",
      decodeTokensPerSecond: "one by one",
      busyCores: "busy cores",
      error: "error",
    });
    const results: PeerResult[] = [];
    const take = (result: PeerResult): void => {
      results.push(result);
      add({ ...result });
    };
    for (const threads of flags.threads) {
      for (const result of await own(model, flags, threads)) take(result);
      const only = (flags.only ?? Object.keys(PEERS)) as readonly Peer[];
      for await (const result of each({ shape: SHAPE, threads: [threads] }, only)) take(result);
      for (const result of await own(model, flags, threads)) take(result);
    }
    compare(report, results);
  } finally {
    rmSync(folder, { recursive: true });
  }
  await report.write();
}

const OURSELVES = "lambent";

/** Our own figures. */
async function own(model: string, flags: PeersFlags, threads: number): Promise<PeerResult[]> {
  const results: PeerResult[] = [];
  const formats = flags.dtypes ?? DTYPES.filter((dtype) => dtype !== "f32" && dtype !== "f16");
  for (const format of flags.quick ? formats.slice(0, 1) : formats) {
    const about = { peer: OURSELVES, version: `Bun ${Bun.version}`, format, threads, busyCores: await quiet() };
    try {
      results.push({ ...about, ...(await measure(model, format, threads, flags)) });
    } catch (error) {
      results.push({ ...about, error: (error as Error).message });
    }
  }
  return results;
}

/** 128 tokens, and one by one, in the middle of what the peers write. */
async function measure(model: string, dtype: string, threads: number, flags: PeersFlags) {
  const budget = flags.quick ? budgetOf(flags) : { time: 1000, rounds: 3 };
  for await (const row of measureSteps(model, { dtype, threads }, [POSITION], budget)) {
    return {
      prefillTokensPerSecond: row.prefillTokensPerSecond as number,
      decodeTokensPerSecond: row.tokensPerSecond as number,
    };
  }
  throw new Error("nothing measured");
}

/** How many times as fast we are as each peer, in formats of as many bits and with as many threads. */
function compare(report: Report, results: readonly PeerResult[]): void {
  const add = report.table("we in parts of them", {
    peer: "peer",
    format: "format",
    threads: "threads",
    ours: "our format",
    prefill: "128 tokens",
    decode: "one by one",
  });
  const mean = (list: readonly PeerResult[], key: "prefillTokensPerSecond" | "decodeTokensPerSecond") =>
    list.reduce((sum, result) => sum + (result[key] ?? Number.NaN), 0) / list.length;
  for (const their of results.filter(({ peer, error }) => peer !== OURSELVES && error === undefined)) {
    for (const ours of Object.keys(BITS).filter((format) => BITS[format] === Number(their.format.match(/\d+/)?.[0]))) {
      const { threads } = their;
      const mine = results.filter(
        (result) => result.peer === OURSELVES && result.format === ours && result.threads === threads,
      );
      if (mine.length === 0) continue;
      const prefill = mean(mine, "prefillTokensPerSecond") / (their.prefillTokensPerSecond ?? Number.NaN);
      const decode = mean(mine, "decodeTokensPerSecond") / (their.decodeTokensPerSecond ?? Number.NaN);
      add({ peer: their.peer, format: their.format, threads, ours, prefill, decode });
    }
  }
}
