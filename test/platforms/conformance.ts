/** The suite in every place, and what they found side by side. */
import type { Place } from "./place.ts";
import type { CaseResult } from "./program/suite/case.ts";
import type { EngineInfo, SuiteOptions } from "./program/suite.ts";
import type { PlatformServer } from "./server.ts";
import { work } from "./work.ts";

/** A case as it went in one place. */
export interface Outcome extends CaseResult {
  readonly place: string;
  readonly seconds: number;
}

export interface Visit {
  readonly place: string;
  readonly title: string;
  readonly seconds: number;
  readonly outcomes: readonly Outcome[];
  /** What runs there; undefined if the suite did not reach its end. */
  readonly engine?: EngineInfo;
  /** Why it did not. */
  readonly wrong?: string;
}

/** The suite in one place. */
export async function visit(place: Place, server: PlatformServer, models: string, quick: boolean): Promise<Visit> {
  const outcomes: Outcome[] = [];
  const options: SuiteOptions = {
    ...{ quick, threads: place.threads },
    ...(place.directories ? { directory: models } : {}),
  };
  const begun = performance.now();
  let last = begun;
  const onProgress = (value: unknown) => {
    const now = performance.now();
    outcomes.push({ ...(value as CaseResult), place: place.name, seconds: (now - last) / 1000 });
    last = now;
  };
  const end = () => ({ place: place.name, title: place.title, outcomes, seconds: (performance.now() - begun) / 1000 });
  try {
    const engine = await work<EngineInfo>(place, server, { program: "suite", options }, { onProgress });
    return { ...end(), engine };
  } catch (error) {
    return { ...end(), wrong: (error as Error).message };
  }
}

/**
 * What must be one value is compared; a line for each place where it is another one than where it was found first, and for
 * each case that a place does not know.
 */
export function compare(visits: readonly Visit[]): { readonly compared: number; readonly wrong: readonly string[] } {
  const wrong = new Map<string, string>();
  const first = new Map<string, Outcome>();
  for (const outcome of visits.flatMap(({ outcomes }) => outcomes)) {
    if (outcome.absent !== undefined || outcome.wrong !== undefined) continue;
    const { same, place } = outcome;
    const other = first.get(same) ?? outcome;
    first.set(same, other);
    if (JSON.stringify(other.value) === JSON.stringify(outcome.value) || wrong.has(`${place} ${same}`)) continue;
    wrong.set(`${place} ${same}`, difference(other, outcome));
  }
  const whole = visits.filter((one) => one.wrong === undefined);
  const names = new Set(whole.flatMap(({ outcomes }) => outcomes.map(({ name }) => name)));
  for (const { place, outcomes } of whole) {
    for (const name of names.difference(new Set(outcomes.map((outcome) => outcome.name)))) {
      wrong.set(`${place} ${name}`, `${place}: expected the case ${name}, found none`);
    }
  }
  return { compared: first.size, wrong: [...wrong.values()] };
}

function difference(a: Outcome, b: Outcome): string {
  const [left, right] = [a, b].map(({ value }) => JSON.stringify(value)) as [string, string];
  let at = 0;
  while (left[at] === right[at]) at++;
  const near = (text: string) => text.slice(Math.max(0, at - 40), at + 80);
  return `${a.same}: ${a.place} (${a.name}) and ${b.place} (${b.name}) differ: …${near(left)}… and …${near(right)}…`;
}
