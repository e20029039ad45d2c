/**
 * Damaged models on their whole way from files to text: each works or is refused in one short line, and never takes more
 * time or memory than files of its size may.
 *
 *     BUN_JSC_useWasmFastMemory=0 bun test/fuzz/run.ts [kind ...]
 *
 * FUZZ_RUNS multiplies the cases, FUZZ_SEED draws others. A failure prints the case and its path; FUZZ_PATH with the same
 * seed and kind runs that one again. Without the variable of JavaScriptCore every Wasm memory that is made costs a garbage
 * collection of everything, several times what a case costs.
 */
import fc from "fast-check";
import { RUNS } from "../formats/files.ts";
import { attempt, type Outcome } from "./attempt.ts";
import { draftOf, FIXTURE_NAMES } from "./draft.ts";
import { NON_FINITE, spoil } from "./non_finite.ts";
import { Watch } from "./watch.ts";
import { KIND_NAMES, KINDS, NUMBERS } from "./weight_kinds.ts";

const PER_KIND = 600;

/** What is printed of a kind, one JSON object on a line. */
export interface Count {
  readonly kind: string;
  readonly works: number;
  readonly refused: number;
  /** Different messages, numbers aside, as far as 1000. */
  readonly ways: number;
  readonly seconds: number;
}

/** Runs a property under a watch and counts how its cases end. */
async function fuzz<T>(kind: string, cases: fc.Arbitrary<T>, run: (drawn: T, watch: Watch) => Promise<Outcome>) {
  const watch = new Watch(kind);
  const ways = new Set<string>();
  const begun = performance.now();
  const settings = { seed: Number(process.env.FUZZ_SEED ?? 1), numRuns: Math.ceil(PER_KIND * RUNS) };
  const path = process.env.FUZZ_PATH;
  let [works, refused] = [0, 0];
  try {
    await fc.assert(
      fc.asyncProperty(cases, async (drawn) => {
        const outcome = await run(drawn, watch);
        if (outcome === "works") works++;
        else refused++;
        if (outcome !== "works" && ways.size < 1000) ways.add(outcome.refused.replace(/\d+/g, "0"));
      }),
      path === undefined ? settings : { ...settings, path },
    );
  } finally {
    watch.end();
  }
  const seconds = Math.round((performance.now() - begun) / 100) / 10;
  console.log(JSON.stringify({ kind, works, refused, ways: ways.size, seconds } satisfies Count));
}

const names = (bases: readonly { readonly name: string }[]) => fc.constantFrom(...bases.map(({ name }) => name));

for (const kind of process.argv.length > 2 ? process.argv.slice(2) : KIND_NAMES) {
  const known = KINDS[kind];
  if (known) {
    await fuzz(kind, fc.tuple(names(known.bases), known.params), ([base, drawn], watch) => {
      const draft = draftOf(base);
      known.apply(draft, drawn);
      return attempt(draft, watch);
    });
  } else if (kind === NUMBERS) {
    // Refused by tensor and index, whichever it is.
    await fuzz(kind, fc.tuple(fc.constantFrom(...FIXTURE_NAMES), NON_FINITE), async ([base, drawn], watch) => {
      const draft = draftOf(base);
      const expected = `: ${spoil(draft, drawn)}: expected a finite number, found `;
      const outcome = await attempt(draft, watch);
      const good = outcome !== "works" && /^(NaN|-?Infinity)$/.test(outcome.refused.split(expected)[1] ?? "");
      if (!good) throw new Error(`expected ... ${expected} ..., found ${JSON.stringify(outcome)}`);
      return outcome;
    });
  } else throw new Error(`no kind ${kind}`);
}
