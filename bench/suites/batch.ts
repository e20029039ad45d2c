import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Contender, interleave, timed } from "../interleave.ts";
import { Report } from "../report.ts";
import { type Place, Subject } from "../subject.ts";
import { writeCheckpoint } from "../synthetic.ts";
import { budgetOf, EMBEDDED, resultsOf, type SuiteFlags } from "./options.ts";

export interface BatchFlags extends SuiteFlags {
  readonly models?: string[];
  readonly dtypes: string[];
  readonly sessions: number[];
  readonly threads: number;
}

const SHAPE = "tinyllama-1.1b";
const POSITION = 128;
/** A window that many sessions of TinyLlama's shape fit into memory with. */
const N_LOCAL = 256;
/** Tokens of the prompt that another session reads meanwhile: chunks of the default size. */
const PROMPT = 2 * 128;

/** Tokens per second of sessions that generate at once, and how long one waits while another reads a prompt. */
export async function batch(flags: BatchFlags): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "lambent-batch-"));
  const report = new Report("batch", resultsOf(flags));
  const throughput = report.table("sessions that generate at once", {
    model: "model",
    dtype: "weights",
    threads: "threads",
    sessions: "sessions",
    stepMs: "step, ms",
    tokensPerSecond: "tokens/s",
    ofOne: "of one",
  });
  const waits: [string, number, number][] = [];
  try {
    for (const name of flags.models ?? (flags.quick ? ["embedded"] : ["embedded", SHAPE])) {
      const model = name === "embedded" ? EMBEDDED : name === SHAPE ? join(folder, SHAPE) : name;
      if (name === SHAPE) writeCheckpoint(SHAPE, model);
      for (const dtype of flags.quick ? flags.dtypes.slice(0, 1) : flags.dtypes) {
        const row = { model: name, dtype, threads: flags.threads };
        const { tokens, wait, chunk } = await measure(model, dtype, flags);
        for (const one of tokens) throughput({ ...row, ...one });
        waits.push([`${name}, ${dtype}`, wait, chunk]);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  for (const [name, wait, chunk] of waits) {
    report.note(
      `${name}: a token beside a prompt of ${PROMPT} takes ${wait.toFixed(2)} ms at most; a chunk of 128 alone ${chunk.toFixed(2)} ms, ${(wait / chunk).toFixed(2)} of it`,
    );
  }
  await report.write();
}

async function measure(model: string, dtype: string, flags: BatchFlags) {
  const counts = flags.quick ? flags.sessions.slice(0, 3) : flags.sessions;
  const most = Math.max(2, ...counts);
  const subject = await Subject.open(model, { dtype, threads: flags.threads, maxSessions: most, nLocal: N_LOCAL });
  const places = Array.from({ length: most }, () => subject.place(POSITION));
  const contenders: Record<string, Contender> = {};
  for (const count of counts) {
    const some = places.slice(0, count);
    contenders[count] = () => timed(() => Promise.all(some.map((place) => place.decode())));
  }
  const samples = await interleave(contenders, budgetOf(flags));
  const [writer, reader] = places as [Place, Place];
  const beside = { wait: () => longestWait(writer, reader), chunk: () => reader.prefill(128) };
  const waits = await interleave(beside, { time: 20, rounds: 3 });
  for (const place of places) place.close();
  await subject.close();
  return {
    tokens: counts.map((count) => {
      const ms = samples.median(`${count}`);
      return {
        sessions: count,
        stepMs: ms,
        tokensPerSecond: (1000 * count) / ms,
        ofOne: (count / (counts[0] as number)) * samples.ratio(`${counts[0]}`, `${count}`),
      };
    }),
    wait: waits.median("wait"),
    chunk: waits.median("chunk"),
  };
}

/** The longest time that a token of `writer` takes while `reader` reads a prompt. */
async function longestWait(writer: Place, reader: Place): Promise<number> {
  let reading = true;
  let longest = 0;
  const prompt = reader.prefill(PROMPT).finally(() => {
    reading = false;
  });
  while (reading) longest = Math.max(longest, await writer.decode());
  await prompt;
  return longest;
}
