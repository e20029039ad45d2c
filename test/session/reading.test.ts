/** Generations without a reader, with one who comes late, leaves early or is forgotten; sessions that are waited for. */
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { OptionError } from "../../src/errors.ts";
import { Generation } from "../../src/generation.ts";
import type { GenerateOptions, Model, Session } from "../../src/index.ts";
import { BOS, failure, freeSlots, removeTemporary, small, WILD } from "./small.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const PROMPT = [BOS, 20, 34, 7, 9];
const OPTIONS: GenerateOptions = { ...WILD, seed: 11, maxNewTokens: 60, ignoreEos: true };
const SLOTS = 2;
let model: Model;
let text: string;

beforeEach(async () => {
  model = await small("llama-gqa-tied", { maxSessions: SLOTS, chunkSize: 4 });
  text = await model.generate(PROMPT, OPTIONS).text();
});

const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("the result", () => {
  test("alone is enough: the generation goes on by itself, and gives its session back", async () => {
    expect((await model.generate(PROMPT, OPTIONS).result).text).toBe(text);
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("alone fails where the generation does", async () => {
    expect((await failure(OptionError, () => model.generate([61], OPTIONS).result)).message).toContain("token 0");
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("may be asked for before, while and after a reader reads", async () => {
    const generation = model.generate(PROMPT, OPTIONS);
    const early = generation.result.then((result) => result.text);
    const pieces: string[] = [];
    for await (const piece of generation) {
      pieces.push(piece);
      if (pieces.length === 3) void generation.result;
    }
    expect([pieces.join(""), await early, (await generation.result).text]).toEqual([text, text, text]);
  });

  test("does not drive a generation that has a reader: the reader's time is the generation's", async () => {
    const generation = model.generate(PROMPT, OPTIONS);
    const reader = generation.tokens();
    void generation.result;
    await reader.next();
    for (let i = 0; i < 20; i++) await turn();
    expect(await Promise.race([generation.result, turn()])).toBeUndefined();
    await reader.return?.();
    expect(await generation.result).toMatchObject({ finishReason: "abort", newTokens: 1 });
  });

  test("leaves a reader who comes late all tokens, if they are not too many", async () => {
    const late = model.generate(PROMPT, OPTIONS);
    await late.result;
    expect(await late.text()).toBe(text);
    const tooLate = model.generate(PROMPT, { ...OPTIONS, maxNewTokens: Generation.KEPT + 1 });
    await tooLate.result;
    expect((await failure(OptionError, () => tooLate.text())).message).toContain(`${Generation.KEPT} tokens`);
    const failing = model.generate([61], OPTIONS);
    await failing.result.catch(() => {});
    await failure(OptionError, () => failing.text());
  });

  test("is that of an abort when the reader leaves before the first piece", async () => {
    for (const open of [(g: Generation) => g.tokens(), (g: Generation) => g[Symbol.asyncIterator]()]) {
      const generation = model.generate(PROMPT, OPTIONS);
      await open(generation).return?.();
      expect(await generation.result).toMatchObject({ finishReason: "abort", newTokens: 0, text: "" });
      await failure(OptionError, () => generation.text());
    }
    expect(await freeSlots(model)).toBe(SLOTS);
  });
});

describe("what became garbage gives its slot back", () => {
  const forgotten: [string, () => Promise<unknown>][] = [
    ["a session", () => model.session()],
    ["an iterator", () => model.generate(PROMPT, OPTIONS).tokens().next()],
    ["a fork", async () => (await (await model.session()).fork()).append(PROMPT)],
  ];
  test.each(forgotten)("%s", async (_, forget) => {
    await (async () => void (await forget()))();
    for (let round = 0; round < 50 && (await freeSlots(model)) < SLOTS; round++) {
      Bun.gc(true);
      await turn();
    }
    expect(await freeSlots(model)).toBe(SLOTS);
  });
});

describe.each([false, true])("a session that waits for a slot (worker: %p)", (worker) => {
  const open = () => small("llama-gqa-tied", { maxSessions: SLOTS, chunkSize: 4, worker });

  test("gets it in the order of asking, when another one is disposed of", async () => {
    using model = await open();
    const held = [await model.session(), await model.session()] as const;
    await failure(OptionError, () => model.session());
    await failure(OptionError, () => model.generate(PROMPT, OPTIONS).text());
    const order: string[] = [];
    const waiting = ["a", "b", "c"].map(async (name) => {
      const session = await model.session({ wait: true });
      order.push(name);
      return session;
    });
    await turn();
    expect(order).toEqual([]);
    for (const session of held) session.dispose();
    const [a, b] = (await Promise.all(waiting.slice(0, 2))) as [Session, Session];
    expect(order).toEqual(["a", "b"]);
    a.dispose();
    (await (waiting[2] as Promise<Session>)).dispose();
    b.dispose();
    expect(order).toEqual(["a", "b", "c"]);
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("serves any number of texts, forks and snapshots", async () => {
    using model = await open();
    const texts = Array.from({ length: 7 }, () => model.generate(PROMPT, { ...OPTIONS, wait: true }).text());
    expect(await Promise.all(texts)).toEqual(texts.map(() => text));
    const session = await model.session();
    await session.append(PROMPT);
    const snapshot = await session.snapshot();
    const other = await model.session();
    const waiting = [session.fork({ wait: true }), model.restore(snapshot, { wait: true })];
    other.dispose();
    (await (waiting[0] as Promise<Session>)).dispose();
    (await (waiting[1] as Promise<Session>)).dispose();
    session.dispose();
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("is let go by an abort and by the model's end, and takes no slot then", async () => {
    const model = await open();
    const held = [await model.session(), await model.session()];
    const stop = new AbortController();
    const waiting = model.session({ wait: true, signal: stop.signal }).catch((error) => error);
    const generation = model.generate(PROMPT, { ...OPTIONS, wait: true, signal: stop.signal });
    const result = generation.text();
    await turn();
    stop.abort(new Error("enough"));
    expect(await waiting).toBe(stop.signal.reason);
    expect(await result).toBe("");
    expect(await generation.result).toMatchObject({ finishReason: "abort", newTokens: 0 });
    for (const session of held) session.dispose();
    expect(await freeSlots(model)).toBe(SLOTS);
    const again = [await model.session(), await model.session()];
    const last = failure(OptionError, () => model.session({ wait: true }));
    await turn();
    model.dispose();
    expect((await last).message).toContain("disposed of");
    expect(again).toHaveLength(2);
  });
});
