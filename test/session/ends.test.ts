/** Texts that are aborted or left, and sessions that come back from every end. */
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { OptionError } from "../../src/base/errors.ts";
import type { GeneratedToken, GenerateOptions, Generation, Model } from "../../src/entry/index.ts";
import { BOS, failure, freeSlots, removeTemporary, small, WILD } from "./small.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const PROMPT = [BOS, 20, 34, 7, 9];
const OPTIONS: GenerateOptions = { ...WILD, seed: 11, maxNewTokens: 60, ignoreEos: true };
const SLOTS = 2;
let model: Model;

beforeEach(async () => {
  model = await small("llama-gqa-tied", { maxSessions: SLOTS, chunkSize: 4 });
});

describe("an abort", () => {
  const aborted = (generation: Generation) =>
    expect(generation.result).resolves.toMatchObject({ finishReason: "abort" });

  test("before the start: nothing is read, nothing is said", async () => {
    using session = await model.session();
    const generation = session.generate(PROMPT, { ...OPTIONS, signal: AbortSignal.abort() });
    expect(await generation.text()).toBe("");
    await aborted(generation);
    expect(await generation.result).toMatchObject({ newTokens: 0 });
    expect(session.length).toBe(0);
  });

  test("while the prompt is read: what was read stays read", async () => {
    using session = await model.session();
    const stop = new AbortController();
    const prompt = Array.from({ length: 1000 }, (_, i) => 3 + (i % 50));
    const reads: number[] = [];
    const onProgress = (read: number, total: number) => {
      expect(total).toBe(1000);
      reads.push(read);
      if (reads.length === 2) stop.abort(new Error("enough"));
    };
    const generation = session.generate(prompt, { ...OPTIONS, signal: stop.signal, onProgress });
    expect(await generation.text()).toBe("");
    await aborted(generation);
    expect(reads).toHaveLength(2);
    expect(session.length).toBe(reads[1] as number);
    expect(session.length).toBeLessThan(1000);
    expect(await session.generate([5], OPTIONS).text()).not.toBe("");
  });

  test("from a timer, while a long prompt is read in one call", async () => {
    using session = await model.session();
    const stop = new AbortController();
    const reading = session.append(new Array(200_000).fill(5), { signal: stop.signal });
    setTimeout(() => stop.abort(new Error("enough")), 20);
    expect(await reading.catch((error: Error) => error.message)).toBe("enough");
    expect(session.length).toBeLessThan(200_000);
    expect(session.length % 4).toBe(0);
  });

  test("while tokens are chosen, which otherwise would not end", async () => {
    const stop = new AbortController();
    const endless = { ...OPTIONS, maxNewTokens: -1, signal: stop.signal };
    const generation = model.generate(PROMPT, endless);
    const tokens: GeneratedToken[] = [];
    for await (const token of generation.tokens()) if (tokens.push(token) === 200) stop.abort();
    await aborted(generation);
    expect(await generation.result).toMatchObject({ newTokens: 200 });
    const begin = await model.generate(PROMPT, OPTIONS).text();
    expect(tokens.map(({ text }) => text).join("")).toStartWith(begin.slice(0, -1));
  });
});

describe("the session of model.generate is given back", () => {
  const signal = AbortSignal.abort();
  const ends: [string, () => Promise<unknown>][] = [
    ["at the end", () => model.generate(PROMPT, { ...OPTIONS, maxNewTokens: 3 }).text()],
    [
      "when the reader leaves",
      async () => {
        for await (const _ of model.generate(PROMPT, OPTIONS)) break;
      },
    ],
    ["when the reader fails", () => readerThatFails(model.generate(PROMPT, OPTIONS)).catch(() => {})],
    ["when it is aborted", () => model.generate(PROMPT, { ...OPTIONS, signal }).text()],
    ["when an option is wrong", () => failure(OptionError, () => model.generate(PROMPT, { topP: 2 }).text())],
    [
      "when a stop string is wrong",
      () => failure(OptionError, () => model.generate("a", { stopStrings: [""] }).text()),
    ],
    ["when the prompt is wrong", () => failure(OptionError, () => model.generate([61], OPTIONS).text())],
    [
      "when there is no chat template",
      () => failure(OptionError, () => model.generate([{ role: "user", content: "a" }]).text()),
    ],
    ["when nobody ever reads it", async () => model.generate(PROMPT, OPTIONS)],
  ];
  test.each(ends)("%s", async (_, end) => {
    for (let times = 0; times < 50; times++) await end();
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  async function readerThatFails(generation: Generation): Promise<void> {
    for await (const piece of generation) throw new Error(piece);
  }
});
