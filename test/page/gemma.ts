/**
 * Gemma 3 270M in the page of examples/browser: its GGUF dropped, and a story. The file is in the folder that
 * LAMBENT_MODELS names, see test/real; it is too large and its terms are too narrow for it to be part of the project.
 *
 *     LAMBENT_MODELS=DIR bun test ./test/page/gemma.ts     # with FULL=1: 1,500 tokens instead of 150
 */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { serveSite } from "../../examples/browser/server.ts";
import { buildSite } from "../../examples/browser/site.ts";
import { load } from "../../src/entry/index.ts";
import { launch, Reader, words } from "./browser.ts";

const NAME = "gemma-3-270m-q4_k_m.gguf";
const file = join(process.env.LAMBENT_MODELS ?? "", NAME);
const there = process.env.LAMBENT_MODELS !== undefined && existsSync(file);
if (!there) console.warn(`skipped: ${NAME} is not in the folder LAMBENT_MODELS`);

const PROMPT = "It was late in the evening when the old captain came home.";
const SEED = 7;
/** Positions at which memory is looked at. */
const LOOKS = process.env.FULL ? [50, 500, 1500] : [50, 150];
/** A wait that is over within the time that a Reader waits, on a slow machine too. */
const STEP = 50;

const MB = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

test.skipIf(!there)(
  "Gemma 3 270M, dropped, writes Bun's words in memory that does not grow",
  async () => {
    using model = await load(file, { maxSessions: 1 });
    const { cacheBytes } = model.info;
    const own = await model.session({ seed: SEED });
    await own.append(PROMPT);
    const read = own.length;
    let text = PROMPT;
    while (own.length < LOOKS[0]!) text += (await own.next({ temperature: 0.8, topK: 50, topP: 0.95 })).text;

    await using browser = await launch();
    await using server = serveSite(await buildSite(true), true, 0);
    const reader = new Reader(await browser.newPage());
    await reader.open(server.url);
    await reader.set("seed", `${SEED}`);
    await reader.set("threads", `${Math.min(2, navigator.hardwareConcurrency)}`);
    const dropped = performance.now();
    await reader.drop(file);
    await reader.page.getByText(`${NAME} is ready`).waitFor({ timeout: 100_000 });
    const started = performance.now();
    console.log(`      loaded in ${((started - dropped) / 1000).toFixed(1)} s`);

    await reader.button("Start").click();
    await reader.waitFor(read + 1);
    console.log(`      first token, ${read} of the prompt read: ${(performance.now() - started).toFixed(0)} ms`);
    const memory: number[] = [];
    const gauges = new Set<number>();
    for (const [i, look] of LOOKS.entries()) {
      if (i > 0) await reader.button("Continue").click();
      const [from, begun] = [await reader.number("position"), performance.now()];
      for (let next = from + STEP; next < look; next += STEP) await reader.waitFor(next);
      await reader.waitFor(look);
      const speed = (1000 * ((await reader.number("position")) - from)) / (performance.now() - begun);
      await reader.button("Stop").click();
      await reader.settled();
      if (i === 0) expect(words(await reader.story())).toStartWith(words(text));
      memory.push(await reader.processMemory());
      gauges.add(await reader.number("memory"));
      const at = `${await reader.number("position")} tokens`;
      console.log(`      ${at}: ${speed.toFixed(1)} tokens/s, ${MB(memory[i]!)} in the page's process`);
    }
    expect(await reader.error()).toBe("");
    expect(reader.complaints).toEqual([]);
    // WebAssembly memory never grows. The process does while positions of the cache are written for the first time.
    expect(gauges.size).toBe(1);
    for (const bytes of memory) expect(bytes).toBeLessThan((memory[0] as number) + cacheBytes + 20e6);
  },
  1_800_000,
);
