/** How fast each place is, beside Bun: medians of rounds that take turns. */
import { median } from "../../bench/interleave.ts";
import { quiet } from "../../bench/peers/result.ts";
import type { Place } from "./place.ts";
import type { Mark, SpeedOptions } from "./program/speed.ts";
import type { PlatformServer } from "./server.ts";
import { work } from "./work.ts";

const MODEL = "lambent-llama-5m";
const ROUNDS = 5;
/** Of prompt and text in one visit; the first of them warms up. */
const VISIT_ROUNDS = 3;
const NEW_TOKENS = 256;
const PROMPT = "It was late in the evening when the old captain came home. ".repeat(30);
const MEASURES = ["start", "prefill", "decode"] as const;

/** The median, and the median over the rounds of the ratio to the first place. */
export interface Measured {
  readonly median: number;
  readonly ratio: number;
}

/** Seconds from the start of process, page or request to the first token; tokens per second. */
export interface Speed extends Readonly<Record<(typeof MEASURES)[number], Measured>> {
  readonly title: string;
  readonly dtype: string;
  readonly threads: number;
  readonly rounds: number;
  /** Cores that others kept busy before. */
  readonly busyCores: number;
}

/** One visit: the start, and the best of each stretch of work, which others on the machine disturb least. */
async function measure(place: Place, server: PlatformServer, dtype: string, threads: number) {
  const options: SpeedOptions = {
    ...{ model: MODEL, prompt: PROMPT, newTokens: NEW_TOKENS, rounds: VISIT_ROUNDS },
    load: { dtype, threads },
  };
  let last = 0;
  const onStart = () => {
    last = performance.now();
  };
  const took: Record<Mark, number[]> = { "first token": [], begin: [], "prompt read": [], "text written": [] };
  const onProgress = (value: unknown) => {
    const now = performance.now();
    took[value as Mark].push((now - last) / 1000);
    last = now;
  };
  const job = { program: "speed", options } as const;
  const { promptTokens } = await work<{ promptTokens: number }>(place, server, job, { onStart, onProgress });
  return {
    start: took["first token"][0] as number,
    prefill: promptTokens / Math.min(...took["prompt read"].slice(1)),
    decode: NEW_TOKENS / Math.min(...took["text written"].slice(1)),
  };
}

/** Every place with one thread and, those who have them, with two, in bf16 and in q7. */
export async function measureSpeed(places: readonly Place[], server: PlatformServer): Promise<Speed[]> {
  const busyCores = await quiet();
  const speeds: Speed[] = [];
  for (const dtype of ["bf16", "q7"]) {
    for (const threads of [1, 2]) {
      const able = places.filter((place) => place.threads >= threads);
      const rounds = able.map(() => [] as Awaited<ReturnType<typeof measure>>[]);
      for (let round = 0; round < ROUNDS; round++)
        for (const [i, place] of able.entries()) rounds[i]?.push(await measure(place, server, dtype, threads));
      const first = rounds[0] ?? [];
      for (const [i, { title }] of able.entries()) {
        const list = rounds[i] ?? [];
        const measured = (key: (typeof MEASURES)[number]): Measured => ({
          median: median(list.map((one) => one[key])),
          ratio: median(list.map((one, round) => one[key] / (first[round]?.[key] as number))),
        });
        const [start, prefill, decode] = MEASURES.map(measured) as [Measured, Measured, Measured];
        speeds.push({ ...{ title, dtype, threads, rounds: ROUNDS, busyCores }, ...{ start, prefill, decode } });
      }
    }
  }
  return speeds;
}
