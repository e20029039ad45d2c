/** Generations without a reader, with one who comes late, leaves early or is forgotten; sessions that are waited for. */
import { afterAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { OptionError } from "../../src/base/errors.ts";
import type { GenerateOptions, Model, Session } from "../../src/entry/index.ts";
import { Generation, type GenerationResult } from "../../src/session/generation.ts";
import { BOS, failure, freeSlots, removeTemporary, small, WILD } from "./small.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const PROMPT = [BOS, 20, 34, 7, 9];
const OPTIONS: GenerateOptions = { ...WILD, seed: 11, maxNewTokens: 60, ignoreEos: true };
const SLOTS = 2;
let model: Model;
let text: string;
/** How the text's generation ends, times left out. */
let end: Omit<GenerationResult, "prefillSeconds" | "decodeSeconds">;

const ended = async ({ result }: Generation) => {
  const { prefillSeconds: _, decodeSeconds: __, ...rest } = await result;
  return rest;
};

beforeEach(async () => {
  model = await small("llama-gqa-tied", { maxSessions: SLOTS, chunkSize: 4 });
  const generation = model.generate(PROMPT, OPTIONS);
  text = await generation.text();
  end = await ended(generation);
});

const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("the result", () => {
  test("alone is enough: the generation goes on by itself, and gives its session back", async () => {
    expect(await ended(model.generate(PROMPT, OPTIONS))).toEqual(end);
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("alone fails where the generation does", async () => {
    expect((await failure(OptionError, () => model.generate([61], OPTIONS).result)).message).toContain("token 0");
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("may be asked for before, while and after a reader reads", async () => {
    const generation = model.generate(PROMPT, OPTIONS);
    const early = ended(generation);
    const pieces: string[] = [];
    for await (const piece of generation) {
      pieces.push(piece);
      if (pieces.length === 3) void generation.result;
    }
    expect([pieces.join(""), await early, await ended(generation)]).toEqual([text, end, end]);
  });

  test("does not drive a generation whose reader comes: the reader's time is the generation's", async () => {
    const generation = model.generate(PROMPT, OPTIONS);
    const reader = generation.tokens();
    const { result } = generation;
    await reader.next();
    for (let i = 0; i < 20; i++) await turn();
    expect(await Promise.race([result, turn()])).toBeUndefined();
    await reader.return?.();
    expect(await result).toMatchObject({ finishReason: "abort", newTokens: 1 });
  });

  test("goes on without a reader who asks for nothing, as one does who waits for it", async () => {
    const generation = model.generate(PROMPT, OPTIONS);
    let pieces = "";
    for await (const piece of generation) {
      pieces += piece;
      if (pieces === piece) expect(await ended(generation)).toEqual(end);
    }
    expect(pieces).toBe(text);
    const other = model.generate(PROMPT, OPTIONS);
    await other.tokens().next();
    expect(await ended(other)).toEqual(end);
    const long = model.generate(PROMPT, { ...OPTIONS, maxNewTokens: Generation.KEPT + 3 });
    const reader = long.tokens();
    const tokens = [(await reader.next()).value];
    await long.result;
    // A reader who is slow loses nothing.
    for await (const token of reader) tokens.push(token);
    expect(tokens).toHaveLength(Generation.KEPT + 3);
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("leaves a reader who comes late all tokens, if they are not too many", async () => {
    const late = model.generate(PROMPT, OPTIONS);
    await late.result;
    expect(await late.text()).toBe(text);
    for (const read of [(g: Generation) => g.tokens().next(), (g: Generation) => g.text()]) {
      const tooLate = model.generate(PROMPT, { ...OPTIONS, maxNewTokens: Generation.KEPT + 1 });
      await tooLate.result;
      expect((await failure(OptionError, () => read(tooLate))).message).toContain(`before ${Generation.KEPT} of them`);
    }
    const failing = model.generate([61], OPTIONS);
    await failing.result.catch(() => {});
    await failure(OptionError, () => failing.text());
  });

  test("is that of an abort when the reader leaves before the first piece", async () => {
    for (const open of [(g: Generation) => g.tokens(), (g: Generation) => g[Symbol.asyncIterator]()]) {
      const generation = model.generate(PROMPT, OPTIONS);
      await open(generation).return?.();
      expect(await generation.result).toMatchObject({ finishReason: "abort", newTokens: 0 });
    }
    expect(await freeSlots(model)).toBe(SLOTS);
  });
});

describe("a reader that leaves", () => {
  test("by return or throw, with a value or an error", async () => {
    const reader = model.generate(PROMPT, OPTIONS).tokens();
    await reader.next();
    expect(await reader.return?.(5)).toEqual({ done: true, value: 5 } as never);
    const generation = model.generate(PROMPT, OPTIONS);
    const delegating = (async function* () {
      yield* generation;
    })();
    await delegating.next();
    const error = new Error("enough");
    expect(await delegating.throw(error).catch((caught) => caught)).toBe(error);
    expect((await generation.result).finishReason).toBe("abort");
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("while it waits for a slot, or for a long prompt, waits no longer", async () => {
    const held = [await model.session(), await model.session()];
    const waiting = model.generate(PROMPT, { ...OPTIONS, wait: true });
    const reader = waiting.tokens();
    const first = reader.next();
    await turn();
    await reader.return?.();
    expect(await first).toEqual({ done: true, value: undefined });
    expect(await waiting.result).toMatchObject({ finishReason: "abort", newTokens: 0 });
    for (const session of held) session.dispose();
    let read = 0;
    const prompt = new Array(4000).fill(7);
    const long = model.generate(prompt, { ...OPTIONS, onProgress: (tokens) => (read = tokens) });
    const other = long.tokens();
    const begun = other.next();
    while (read === 0) await turn();
    await other.return?.();
    expect((await begun).done).toBe(true);
    expect(read).toBeLessThan(prompt.length);
    expect(await freeSlots(model)).toBe(SLOTS);
  });

  test("ends only what it reads itself", async () => {
    const generation = model.generate(PROMPT, OPTIONS);
    const reader = generation.tokens();
    await reader.next();
    await generation.tokens().return?.();
    let count = 1;
    for await (const _ of reader) count++;
    expect(count).toBe(60);
  });

  test("leaves the caller's signal as it was", async () => {
    const { signal } = new AbortController();
    const listeners = new Set<unknown>();
    signal.addEventListener = (_: string, listener: unknown) => void listeners.add(listener);
    signal.removeEventListener = (_: string, listener: unknown) => void listeners.delete(listener);
    await model.generate(PROMPT, { ...OPTIONS, signal }).text();
    for await (const _ of model.generate(PROMPT, { ...OPTIONS, signal })) break;
    await model.generate([61], { ...OPTIONS, signal }).result.catch(() => {});
    expect(listeners.size).toBe(0);
  });
});

describe("what became garbage gives its slot back", () => {
  const forgotten: [string, () => Promise<unknown>][] = [
    ["a session", () => model.session()],
    ["an iterator", () => model.generate(PROMPT, OPTIONS).tokens().next()],
    ["a fork", async () => (await (await model.session()).fork()).append(PROMPT)],
  ];
  test.each(forgotten)(
    "%s",
    async (_, forget) => {
      await (async () => void (await forget()))();
      for (let round = 0; round < 200 && (await freeSlots(model)) < SLOTS; round++) {
        Bun.gc(true);
        await turn();
      }
      expect(await freeSlots(model)).toBe(SLOTS);
    },
    // Collectors keep what looks like an address on the stack for a while. What is held on purpose is held every time.
    { retry: 4 },
  );
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
    expect((await last).message).toBe("the model was disposed");
    expect(again).toHaveLength(2);
  });
});
