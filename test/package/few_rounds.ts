/** A few rounds of load, generate and dispose: nothing is left of one, in memory or as a thread. */
import { expect, test } from "bun:test";
import { HOSTS, PLACES, rounds, TOLD } from "./rounds.ts";

/** A model takes 28 MB, a thread some 10; left after each of 7 rounds, they would take 266. Garbage takes 60 for a while. */
const SLACK_MB = 120;
const SLACK_THREADS = 4;

/** `npm run rounds` has the others. */
const cases = HOSTS.filter(({ host }) => host !== "Node 22").flatMap(({ host, words }) =>
  PLACES.filter((place) => place !== "abandoned").map((place) => [host, place, words] as const),
);

test.skipIf(!TOLD).each(cases)(
  "%s, %s: memory and threads after 12 rounds as after 5 (needs /proc)",
  async (_, place, words) => {
    const [early, late] = await rounds(words(), place, [5, 12]);
    expect(late!.megabytes - early!.megabytes).toBeLessThan(SLACK_MB);
    expect(late!.threads - early!.threads).toBeLessThan(SLACK_THREADS);
  },
);
