/**
 * The same programs in seven places: `npm run platforms`. Installs the runtimes and the packed package, runs the
 * conformance suite in each place, compares what they found, lets stories travel between them, and writes
 * docs/PLATFORMS.md if it was all of it everywhere; with --speed it measures instead. Its last lines count as those of
 * `bun test` do.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle, PAGE_SCRIPT } from "./bundle.ts";
import { compare, type Visit, visit } from "./conformance.ts";
import { type Journey, journeys } from "./journeys.ts";
import { writeMaterial } from "./material.ts";
import { type Options, readOptions } from "./options.ts";
import { installPackage } from "./package.ts";
import type { Place } from "./place.ts";
import { findPlace, PLACES } from "./places.ts";
import { showVisit, writePage, writeSpeed } from "./report.ts";
import { PlatformServer } from "./server.ts";
import { measureSpeed } from "./speed_table.ts";
import { installTools } from "./tools.ts";

/** The story of the issue, and one that goes everywhere. */
const ROUTES = [
  ["bun", "chromium", "workerd", "deno"],
  ["bun", "node24", "workerd", "chromium-isolated", "deno", "chromium", "node22"],
] as const;

const { quick, speed, places: names } = optionsOrEnd();
const begun = performance.now();
const everywhere = names.length === PLACES.length;
let [passed, failed] = [0, 0];

const project = mkdtempSync(join(tmpdir(), "lambent-platforms-"));
process.once("SIGINT", () => process.exit(130));
process.once("exit", () => rmSync(project, { recursive: true, force: true }));
const models = join(project, "models");
const server = new PlatformServer();
const places: Place[] = [];

await attempt("npm run platforms", async () => {
  await prepare();
  if (speed) await measure();
  else await test();
});
server[Symbol.dispose]();
console.log(`\n ${passed} pass\n ${failed} fail`);
console.log(`Ran ${passed + failed} tests in ${places.length} places. [${seconds(begun)}]`);
process.exit(failed ? 1 : 0);

/** What every program needs, and the places that can be had. */
async function prepare(): Promise<void> {
  await step("runtimes and tools", installTools);
  await step("the package, packed and installed", () => installPackage(project));
  const bundles = await step("programs", () => bundle(project));
  await step("models", async () => writeMaterial(models, quick));
  server.serve("models", models);
  server.serve("bundle", bundles.page);
  server.page(`<script type="module" src="/bundle/${PAGE_SCRIPT}"></script>`);
  for (const name of names) {
    await attempt(name, async () => places.push(await findPlace(name, project, bundles)));
  }
}

async function test(): Promise<void> {
  const visits: Visit[] = [];
  for (const place of places) {
    const seen = await visit(place, server, models, quick);
    visits.push(seen);
    for (const { name, absent, wrong } of seen.outcomes) {
      if (wrong !== undefined) fail(`${place.name}: ${name}: ${wrong}`);
      else if (absent === undefined) passed++;
    }
    if (seen.wrong !== undefined) fail(seen.wrong);
    console.log(showVisit(seen));
  }
  const { compared, wrong } = compare(visits);
  for (const difference of wrong) fail(difference);
  passed += Math.max(0, compared - wrong.length);
  console.log(`${compared} values compared between ${visits.length} places, ${wrong.length} differences`);
  const travelled: Journey[] = [];
  for (const route of ROUTES) {
    const way = route.flatMap((name) => places.find((place) => place.name === name) ?? []);
    if (way.length < 2) continue;
    const label = `travel: ${way.map(({ name }) => name).join(" → ")}`;
    const stories = await attempt(label, () => step(label, () => journeys(way, server, quick)));
    for (const story of stories ?? []) {
      travelled.push(story);
      if (story.wrong === undefined) passed++;
      else fail(`${label}: ${story.wrong}`);
    }
  }
  if (!quick && everywhere && failed === 0) writePage(visits, travelled);
}

async function measure(): Promise<void> {
  const speeds = await step("speed", () => measureSpeed(places, server));
  passed++;
  if (everywhere && failed === 0) writeSpeed(speeds);
}

function fail(what: string): void {
  failed++;
  console.log(`(fail) ${what}`);
}

/** What it gives; if it throws, that is one failure. */
async function attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    fail(`${what}: ${(error as Error).message}`);
    return undefined;
  }
}

function optionsOrEnd(): Options {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    console.error((error as Error).message);
    process.exit(2);
  }
}

async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  const value = await work();
  console.log(`${what} [${seconds(begun)}]`);
  return value;
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
