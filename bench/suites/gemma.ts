import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { median } from "../interleave.ts";
import { each, type Peer } from "../peers/index.ts";
import { attempt, type Measured, NEW, type PeerResult } from "../peers/result.ts";
import { Report } from "../report.ts";
import { resultsOf, type SuiteFlags } from "./options.ts";
import { RUNTIMES } from "./runtimes.ts";

const CHILD = fileURLToPath(new URL("./gemma_child.ts", import.meta.url));
const PROMPT = 512;
const FILE = "gemma-3-270m-q4_k_m.gguf";

export interface GemmaFlags extends SuiteFlags {
  readonly model?: string;
  readonly threads: number[];
  readonly rounds: number;
  readonly only?: string[];
}

/** A real model, as its GGUF stores it, in several runtimes and beside others that read the same file, in turns. */
export async function gemma(flags: GemmaFlags): Promise<void> {
  const model = flags.model ?? join(process.env.LAMBENT_MODELS ?? ".", FILE);
  if (!existsSync(model))
    throw new Error(`${model}: expected a GGUF (--model, or a folder in LAMBENT_MODELS), found none`);
  const report = new Report("gemma", resultsOf(flags));
  const columns = {
    ...{ peer: "who", version: "version", threads: "threads" },
    ...{ decodeTokensPerSecond: "decode, tok/s", prefillTokensPerSecond: `${PROMPT} tokens, tok/s` },
    ...{ loadMs: "load, ms", firstTokenMs: "first token, ms", residentMB: "memory, MB", busyCores: "busy cores" },
  };
  const add = report.table(`each run of ${basename(model)}`, { ...columns, error: "error", note: "note" });
  const results: PeerResult[] = [];
  const rounds = flags.quick ? 1 : flags.rounds;
  const known = [...Object.keys(RUNTIMES), "native", "wllama", "transformers"];
  const only = flags.only ?? (flags.quick ? ["bun"] : known);
  for (const threads of flags.threads) {
    for (let round = 0; round < rounds; round++) {
      for (const name of known.filter((one) => only.includes(one))) {
        for await (const result of run(name, model, threads, flags)) {
          results.push(result);
          add({ ...result });
        }
      }
    }
  }
  summary(report, results, columns);
  await report.write();
}

async function* run(name: string, path: string, threads: number, flags: GemmaFlags): AsyncGenerator<PeerResult> {
  const command = RUNTIMES[name];
  if (!command) {
    yield* each({ model: { path, format: "gguf" }, threads: [threads], prompt: PROMPT }, [name as Peer]);
    return;
  }
  const [program = name, ...given] = command;
  const numbers = [threads, flags.quick ? 32 : PROMPT, flags.quick ? 4 : NEW, flags.quick ? 1 : 3].map(String);
  yield await attempt({ peer: `lambent in ${name}`, version: "", format: "gguf", threads }, async () => {
    const { stdout } = await promisify(execFile)(program, [...given, CHILD, path, ...numbers]);
    return JSON.parse(stdout.trim().split("\n").at(-1) as string) as Measured;
  });
}

/** Medians of the runs, and how many times as fast as each other one we are in Bun. */
function summary(report: Report, results: readonly PeerResult[], columns: Readonly<Record<string, string>>): void {
  const ratios = { ofDecode: "our decode ×", ofPrefill: `our ${PROMPT} ×` };
  const add = report.table("medians", { ...columns, ...ratios });
  const good = results.filter(({ error }) => error === undefined);
  const keys = ["decodeTokensPerSecond", "prefillTokensPerSecond", "loadMs", "firstTokenMs", "residentMB"] as const;
  for (const threads of new Set(good.map((result) => result.threads))) {
    const of = (peer: string) => {
      const runs = good.filter((result) => result.threads === threads && result.peer === peer);
      return Object.fromEntries(
        keys.map((key) => [key, median(runs.flatMap((result) => result[key] ?? []))]),
      ) as Record<(typeof keys)[number], number>;
    };
    const ours = of("lambent in bun");
    for (const peer of new Set(good.filter((result) => result.threads === threads).map((result) => result.peer))) {
      const theirs = of(peer);
      add({
        ...{ peer, threads, ...theirs },
        ofDecode: ours.decodeTokensPerSecond / theirs.decodeTokensPerSecond,
        ofPrefill: ours.prefillTokensPerSecond / theirs.prefillTokensPerSecond,
      });
    }
  }
}
