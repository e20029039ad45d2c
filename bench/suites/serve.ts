import { basename } from "node:path";
import { median } from "../interleave.ts";
import { runNode } from "../peers/child.ts";
import { installNative, VERSION } from "../peers/native.ts";
import { Report } from "../report.ts";
import { post, serve as serveChild } from "../served.ts";
import { resultsOf, type SuiteFlags } from "./options.ts";

export interface ServeFlags extends SuiteFlags {
  readonly model: string;
  readonly threads: number;
  readonly clients: number[];
  readonly rounds: number;
  readonly native?: boolean;
}

/** Every client asks with a prompt of its own, for as many tokens. */
const PROMPT = 128;
const NEW = 32;
/** Of the window: what a request needs, with room. */
const WINDOW = 256;
/** The most clients that ask twice before the clock starts. */
const WARMING = 4;
const TIMEOUT_MS = 1_800_000;

/** What some clients at once have seen, each of `requests` in milliseconds since it asked: when its tokens came. */
type Seen = { readonly seconds: number; readonly requests: readonly (readonly number[])[] };

/** Clients that ask `lambent serve` at once: tokens per second of all, and how long they wait; llama.cpp beside it. */
export async function serve(flags: ServeFlags): Promise<void> {
  const { model, quick, threads, native } = flags;
  const report = new Report("serve", resultsOf(flags));
  const counts = quick ? [1, 2] : flags.clients;
  const add = report.table(
    `${basename(model)}, ${threads} threads: ${PROMPT} tokens are read and ${quick ? 4 : NEW} written for each client`,
    {
      ...{ who: "who", clients: "clients", rate: "tokens/s", first: "first token, ms", worst: "slowest, ms" },
      ...{ gap: "longest gap, ms", residentMB: "memory, MB", ratio: "ours ×" },
    },
  );
  const folder = native ? await installNative() : "";
  for (const clients of counts) {
    const given = [clients, quick ? 1 : flags.rounds, quick ? 4 : NEW] as const;
    const ours = await ourSide(model, threads, ...given);
    add({ who: "lambent serve", clients, ...ours });
    if (!native) continue;
    const args = [model, ...[threads, PROMPT, ...given, WINDOW].map(String)];
    const { residentMB, ...seen } = await runNode<Seen & { residentMB: number }>(
      folder,
      "native_clients.mjs",
      args,
      TIMEOUT_MS,
    );
    const theirs = summary(seen);
    add({ who: "node-llama-cpp", clients, ...theirs, residentMB, ratio: ours.rate / theirs.rate });
  }
  if (native) report.version("node-llama-cpp", VERSION);
  await report.write();
}

async function ourSide(model: string, threads: number, clients: number, rounds: number, tokens: number) {
  const loading = ["--threads", `${threads}`, "--n-local", `${WINDOW}`, "--parallel", `${clients}`];
  await using served = await serveChild("--model", model, ...loading);
  const ask = async (prompt: readonly number[]) => {
    const begun = performance.now();
    const sampling = { temperature: 0, ignore_eos: true, max_tokens: tokens, stream: true };
    const response = await post(`${served.url}/v1/completions`, { prompt, ...sampling });
    const times: number[] = [];
    let rest = "";
    const decoder = new TextDecoder();
    for await (const bytes of response.body as ReadableStream<Uint8Array>) {
      const events = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
      rest = events.pop() as string;
      for (const event of events) if (event.startsWith('data: {"')) times.push(performance.now() - begun);
    }
    return times;
  };
  // Engines compile what is used often once more.
  const warming = Array.from({ length: Math.min(clients, WARMING) }, (_, i) => promptOf(clients * rounds + i));
  for (let round = 0; round < 2; round++) await Promise.all(warming.map(ask));
  const requests: number[][] = [];
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let round = 0; round < rounds; round++) requests.push(await ask(promptOf(round * clients + client)));
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  const { gap, first, worst } = summary({ seconds, requests });
  // Several tokens may come in one event.
  return { gap, first, worst, rate: (clients * rounds * tokens) / seconds, residentMB: served.residentMB() };
}

/** The ids that the peer reads too; no two prompts start alike. */
function promptOf(number: number): number[] {
  return Array.from({ length: PROMPT }, (_, i) => 400 + (((i + 1) * 7919 + number * 104_729) % 3000));
}

function summary({ seconds, requests }: Seen) {
  const firsts = requests.map(([first]) => first as number);
  const gaps = requests.flatMap((times) => times.slice(1).map((time, i) => time - (times[i] as number)));
  return {
    rate: requests.reduce((sum, times) => sum + times.length, 0) / seconds,
    ...{ first: median(firsts), worst: Math.max(...firsts), gap: Math.max(...gaps) },
  };
}
