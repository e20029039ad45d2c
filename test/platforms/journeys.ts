/** Stories that travel: begun in one place, continued in others from snapshots alone. */
import type { Place } from "./place.ts";
import type { Leaf, Leg, TravelOptions } from "./program/travel.ts";
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

export interface Journey {
  readonly seed: number;
  readonly route: readonly string[];
  /** New tokens of each leg. */
  readonly cuts: readonly number[];
  /** What was written in each place. */
  readonly texts: readonly string[];
  readonly snapshotBytes: number;
  /** How it is not the unbroken story, if it is not. */
  readonly wrong?: string;
}

/** Stories cut at random along the route; each must equal the one that its first place writes without a break. */
export async function journeys(places: readonly Place[], server: PlatformServer, quick: boolean): Promise<Journey[]> {
  const stories = SEEDS.slice(0, quick ? QUICK_SEEDS : undefined).map((seed) => ({
    seed,
    cuts: cutsOf(seed, places.length),
    written: [] as Leaf[],
  }));
  const go = (place: Place, legs: readonly Leg[]) => {
    // Threads change no bit: every other place takes as many as it has.
    const load = { ...LOAD, threads: places.indexOf(place) % 2 ? place.threads : 1 };
    const options: TravelOptions = { model: MODEL, load, legs };
    return work<Leaf[]>(place, server, { program: "travel", options });
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
    const snapshots = [`${seed}-whole`, `${seed}-${places.length - 1}`].map((key) => server.stored(key) as Uint8Array);
    const texts = written.map(({ text }) => text);
    const travelled = { ids: written.flatMap(({ ids }) => ids), text: texts.join("") };
    const wrong = difference(whole[story] as Leaf, travelled, snapshots);
    const about = { seed, route: places.map(({ title }) => title), cuts, texts };
    return {
      ...about,
      snapshotBytes: snapshots[1]!.length,
      ...(wrong ? { wrong: `story ${seed} (${cuts}): ${wrong}` } : {}),
    };
  });
}

/** The first thing in which a story that travelled is not the unbroken one. */
function difference(whole: Leaf, travelled: Leaf, snapshots: readonly Uint8Array[]): string | undefined {
  const at = whole.ids.findIndex((id, i) => id !== travelled.ids[i]);
  if (at >= 0) return `token ${at}: expected ${whole.ids[at]}, found ${travelled.ids[at]}`;
  if (whole.ids.length !== travelled.ids.length)
    return `expected ${whole.ids.length} tokens, found ${travelled.ids.length}`;
  if (whole.text !== travelled.text)
    return `expected the text ${JSON.stringify(whole.text)}, found ${JSON.stringify(travelled.text)}`;
  const [one, other] = snapshots as [Uint8Array, Uint8Array];
  return Buffer.compare(one, other) === 0
    ? undefined
    : "last snapshot: expected the unbroken story's bytes, found others";
}

/** So many legs of at least one token, TOKENS in all. */
function cutsOf(seed: number, legs: number): number[] {
  let state = Math.imul(seed, 2654435761) >>> 0;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const cuts = new Set<number>();
  while (cuts.size < legs - 1) cuts.add(1 + random(TOKENS - 1));
  const bounds = [0, ...[...cuts].sort((a, b) => a - b), TOKENS];
  return bounds.slice(1).map((end, i) => end - (bounds[i] as number));
}
