/** Stories that travel: begun in one place, continued in others from snapshots alone. */
import type { Place } from "./place.ts";
import type { Leg, TravelOptions } from "./program/travel.ts";
import type { PlatformServer } from "./server.ts";
import { work } from "./work.ts";

const MODEL = "lambent-llama-5m";
/** Λ's window is smaller than the story, so that its cache turns over on the way. */
const LOAD = { nLocal: 64, nGlobal: 4 } as const;
const PROMPT = "It was late in the evening when the old captain came home.";
const TOKENS = 240;
/** Seeds of the stories and of where they are cut. */
const SEEDS = [1, 2, 3, 4, 5, 6];
const QUICK_SEEDS = 2;

type Written = Awaited<ReturnType<typeof import("./program/travel.ts").travel>>;

export interface Journey {
  readonly seed: number;
  readonly route: readonly string[];
  /** New tokens of each leg. */
  readonly cuts: readonly number[];
  readonly text: string;
  readonly snapshotBytes: number;
  /** How it is not the unbroken story, if it is not. */
  readonly wrong?: string;
}

/** Stories cut at random along the route; each must equal the one that its first place writes without a break. */
export async function journeys(places: readonly Place[], server: PlatformServer, quick: boolean): Promise<Journey[]> {
  const stories = SEEDS.slice(0, quick ? QUICK_SEEDS : undefined).map((seed) => ({
    seed,
    cuts: cutsOf(seed, places.length),
    written: [] as { ids: number[]; text: string }[],
  }));
  const go = (place: Place, legs: readonly Leg[]) => {
    // Threads change no bit: every other place takes as many as it has.
    const load = { ...LOAD, threads: places.indexOf(place) % 2 ? place.threads : 1 };
    const options: TravelOptions = { model: MODEL, load, legs };
    return work<Written>(place, server, { program: "travel", options });
  };
  const start = (seed: number) => ({ prompt: PROMPT, seed });
  const whole = await go(
    places[0] as Place,
    stories.map(({ seed }) => ({ ...start(seed), to: `${seed}-whole`, newTokens: TOKENS })),
  );
  for (const [i, place] of places.entries()) {
    const legs = stories.map(({ seed, cuts }) => ({
      ...start(seed),
      ...(i > 0 ? { from: `${seed}-${i - 1}` } : {}),
      ...{ to: `${seed}-${i}`, newTokens: cuts[i] as number },
    }));
    for (const [story, leg] of (await go(place, legs)).entries()) stories[story]?.written.push(leg);
  }
  return stories.map(({ seed, cuts, written }, story) => {
    const unbroken = whole[story]!;
    const ids = written.flatMap((leg) => leg.ids);
    const text = written.map((leg) => leg.text).join("");
    const [one, other] = [`${seed}-whole`, `${seed}-${places.length - 1}`].map((key) => server.stored(key));
    const at = unbroken.ids.findIndex((id, i) => id !== ids[i]);
    const wrong =
      at >= 0 || ids.length !== unbroken.ids.length
        ? `token ${at}: expected ${unbroken.ids[at]}, found ${ids[at]}`
        : text !== unbroken.text
          ? `text: expected ${JSON.stringify(unbroken.text)}, found ${JSON.stringify(text)}`
          : Buffer.compare(one!, other!) !== 0
            ? "last snapshot: expected the bytes of the unbroken story's, found others"
            : undefined;
    const about = { seed, route: places.map(({ title }) => title), cuts, text, snapshotBytes: other!.length };
    return wrong === undefined ? about : { ...about, wrong: `story ${seed}, cut at ${cuts}: ${wrong}` };
  });
}

/** So many legs of at least one token, TOKENS in all. */
function cutsOf(seed: number, legs: number): number[] {
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const cuts = new Set<number>();
  while (cuts.size < legs - 1) cuts.add(1 + random(TOKENS - 1));
  const bounds = [0, ...[...cuts].sort((a, b) => a - b), TOKENS];
  return bounds.slice(1).map((end, i) => end - (bounds[i] as number));
}
