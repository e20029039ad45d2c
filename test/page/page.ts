/**
 * The page of examples/browser in Chromium. FULL=1: 20,000 tokens instead of 2,000.
 *
 *     npm run page-test
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Browser, BrowserContext } from "playwright-core";
import { serveSite } from "../../examples/browser/server.ts";
import { buildSite } from "../../examples/browser/site.ts";
import { load } from "../../src/index.ts";
import { launch, Reader } from "./browser.ts";

const LONG = process.env.FULL ? 20_000 : 2_000;
const MODEL = "models/lambent-llama-5m";
const PROMPT = "It was late in the evening when the old captain came home.";

let browser: Browser;
let context: BrowserContext;
let reader: Reader;
let isolated: ReturnType<typeof serveSite>;
let plain: ReturnType<typeof serveSite>;

beforeAll(async () => {
  browser = await launch();
  isolated = serveSite(await buildSite(true), true, 0);
  plain = serveSite(await buildSite(false), false, 0);
});

afterAll(async () => {
  await browser?.close();
  await isolated?.stop(true);
  await plain?.stop(true);
});

beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 1000, height: 900 } });
  reader = new Reader(await context.newPage());
});

afterEach(async () => {
  await context.close();
});

/** The text that the same model writes here. */
async function expected(tokens: number, seed: number): Promise<string> {
  using model = await load(MODEL, { threads: 1 });
  const session = await model.session({ seed });
  await session.append(PROMPT);
  let text = PROMPT;
  while (session.length < tokens) text += (await session.next({ temperature: 0.8, topK: 50, topP: 0.95 })).text;
  return text;
}

const words = (text: string) => text.replace(/\s+/g, " ").replaceAll("⁂ ", "").trim();

for (const [name, server, build] of [
  ["isolated", () => isolated, "shared-"],
  ["not isolated", () => plain, "single-"],
] as const) {
  test(`${name}: starts, stops and continues by clicks, with the words that Bun writes`, async () => {
    await reader.open(server().url);
    await reader.set("seed", "7");
    await reader.write(100);
    const first = await reader.number("position");
    const begun = words(await reader.story());
    expect(begun).toBe(words(await expected(first, 7)));
    await reader.write(first + 100, "Continue");
    const second = await reader.number("position");
    expect(second).toBeGreaterThanOrEqual(first + 100);
    const continued = words(await reader.story());
    expect(continued).toBe(words(await expected(second, 7)));
    expect(continued).toStartWith(begun);
    expect(await reader.page.locator("#engine-facts").textContent()).toContain(build);
    expect(reader.complaints).toEqual([]);
  });
}
