/** How fast each place is, beside Bun: medians of rounds that take turns. */
import { median } from "../../bench/interleave.ts";
import type { Place } from "./place.ts";
import type { Mark, SpeedOptions } from "./program/speed.ts";
import type { PlatformServer } from "./server.ts";
import { work } from "./work.ts";

const MODEL = "lambent-llama-5m";
const ROUNDS = 5;
/** Of prompt and text in one visit; the first of them warms up. */
const VISIT_ROUNDS = 4;
const NEW_TOKENS = 256;
const PROMPT = "It was late in the evening when the old captain came home. ".repeat(30);

export interface Speed {
  readonly title: string;
  readonly dtype: string;
  readonly threads: number;
  /** From the start of the process or page to its first token. */
  readonly startSeconds: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
}

/** One visit: seconds of the start and the best of each stretch of work, which others disturb the least. */
async function measure(place: Place, server: PlatformServer, dtype: string, threads: number) {
  const options: SpeedOptions = {
    ...{ model: MODEL, prompt: PROMPT, newTokens: NEW_TOKENS, rounds: VISIT_ROUNDS },
    load: { dtype, threads },
  };
  let last = 0;
  const took: Record<Mark, number[]> = { "first token": [], begin: [], "prompt read": [], "text written": [] };
  const heard = (value: unknown) => {
    const now = performance.now();
    took[value as Mark].push((now - last) / 1000);
    last = now;
  };
  const { promptTokens } = await work<{ promptTokens: number }>(
    ...([place, server, { program: "speed", options }, heard] as const),
    () => {
      last = performance.now();
    },
  );
  return {
    start: took["first token"][0] as number,
    prefill: promptTokens / Math.min(...took["prompt read"].slice(1)),
    decode: NEW_TOKENS / Math.min(...took["text written"].slice(1)),
  };
}

/** Every place with one thread and with as many of two as it has, in bf16 and in q7. */
export async function measureSpeed(places: readonly Place[], server: PlatformServer): Promise<Speed[]> {
  const speeds: Speed[] = [];
  for (const dtype of ["bf16", "q7"]) {
    for (const threads of [1, 2]) {
      const able = places.filter((place) => place.threads >= threads);
      const rounds = new Map(able.map((place) => [place, [] as Awaited<ReturnType<typeof measure>>[]]));
      for (let round = 0; round < ROUNDS; round++)
        for (const place of able) rounds.get(place)?.push(await measure(place, server, dtype, threads));
      for (const [{ title }, list] of rounds) {
        const middle = (key: "start" | "prefill" | "decode") => median(list.map((one) => one[key]));
        speeds.push({
          ...{ title, dtype, threads, startSeconds: middle("start") },
          ...{ prefillTokensPerSecond: middle("prefill"), decodeTokensPerSecond: middle("decode") },
        });
      }
    }
  }
  return speeds;
}
