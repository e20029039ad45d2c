/** How a text ends, what a reader of it sees, and what is said of it afterwards. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { OptionError } from "../../src/base/errors.ts";
import type { GeneratedToken, GenerateOptions, Generation, Model } from "../../src/entry/index.ts";
import { Xxh64 } from "../../src/machine/hash.ts";
import { Tally } from "../../src/session/generation.ts";
import { kernels } from "../setup.ts";
import { BOS, EOS, failure, freeSlots, removeTemporary, small, WILD } from "./small.ts";

setDefaultTimeout(60_000);

const PROMPT = [BOS, 20, 34, 7, 9];
const OPTIONS: GenerateOptions = { ...WILD, seed: 11, maxNewTokens: 60, ignoreEos: true };
const SLOTS = 2;
let model: Model;
/** What OPTIONS give, with nothing to stop it. */
let free: Read;

beforeAll(async () => {
  model = await small("llama-gqa-tied", { maxSessions: SLOTS, chunkSize: 4 });
  free = await readTokens(model.generate(PROMPT, OPTIONS));
});
afterAll(async () => {
  expect(await freeSlots(model)).toBe(SLOTS);
  removeTemporary();
});

type Read = Awaited<ReturnType<typeof readTokens>>;

async function readTokens(generation: Generation) {
  const tokens: GeneratedToken[] = [];
  for await (const token of generation.tokens()) tokens.push(token);
  const text = tokens.map((token) => token.text).join("");
  return { tokens, ids: tokens.map(({ id }) => id), text, result: await generation.result };
}

describe("a text ends", () => {
  test("by length", async () => {
    expect(free.result.finishReason).toBe("length");
    expect(free.ids).toHaveLength(60);
    const none = await readTokens(model.generate(PROMPT, { ...OPTIONS, maxNewTokens: 0 }));
    expect(none.result).toMatchObject({ finishReason: "length", newTokens: 0, promptTokens: 5 });
  });

  test("with any of the stop tokens of generation_config.json, which have no text, unless they are ignored", async () => {
    const { ignoreEos: _, ...options } = OPTIONS;
    for (const at of [4, 17, 40]) {
      const id = free.ids[at] as number;
      for (const eos of [id, [60, id, 0]]) {
        const stopping = await small("llama-gqa-tied", {}, { eos_token_id: eos });
        const first = free.ids.findIndex((token) => [eos].flat().includes(token));
        const { ids, text, result } = await readTokens(stopping.generate(PROMPT, options));
        expect({ ids, finishReason: result.finishReason }).toEqual({
          ...{ ids: free.ids.slice(0, first + 1), finishReason: "stop" },
        });
        expect(text).toBe(model.tokenizer.decode(free.ids.slice(0, first)));
        expect((await readTokens(stopping.generate(PROMPT, OPTIONS))).ids).toEqual(free.ids);
      }
    }
  });

  test("with the stop token of config.json, where generation_config.json names none", async () => {
    const stop = { ...OPTIONS, ignoreEos: false, maxNewTokens: 3000, topK: 61 };
    const { ids, result } = await readTokens(model.generate(PROMPT, stop));
    expect(ids.indexOf(EOS)).toBe(ids.length - 1);
    expect(result.finishReason).toBe("stop");
  });

  test("before any stop string, however it lies over tokens", async () => {
    const { text } = free;
    let inside = 0;
    for (let at = 0; at < text.length - 8; at += 3) {
      for (const length of [1, 2, 5]) {
        const stop = text.slice(at, at + length);
        if (!stop.isWellFormed()) continue;
        const stopStrings = [`${stop}never`, stop];
        const read = await readTokens(model.generate(PROMPT, { ...OPTIONS, stopStrings }));
        expect({ stop, text: read.text }).toEqual({ stop, text: text.slice(0, text.indexOf(stop)) });
        expect(read.result).toMatchObject({ finishReason: "stop", newTokens: read.ids.length });
        expect(read.ids).toEqual(free.ids.slice(0, read.ids.length));
        if (free.tokens.every((token) => !token.text.includes(stop))) inside++;
      }
    }
    expect(inside).toBeGreaterThan(20);
  });

  test("with the end of a stop string that never came, shown after all", async () => {
    const stopStrings = Array.from({ length: 8 }, (_, i) => `${free.text.slice(-1 - i)}never`);
    const wellFormed = stopStrings.filter((stop) => stop.isWellFormed());
    expect((await readTokens(model.generate(PROMPT, { ...OPTIONS, stopStrings: wellFormed }))).text).toBe(free.text);
  });

  test("in U+FFFD where it breaks off inside of a character, unless the session goes on", async () => {
    const cut = free.ids.findIndex((_, i) => {
      const begin = model.tokenizer.decode(free.ids.slice(0, i + 1));
      return i > 5 && begin.endsWith("\ufffd") && !free.text.startsWith(begin);
    });
    expect(cut).toBeGreaterThan(0);
    const short = { ...OPTIONS, maxNewTokens: cut + 1 };
    const begin = model.tokenizer.decode(free.ids.slice(0, cut + 1));
    expect(await model.generate(PROMPT, short).text()).toBe(begin);
    using session = await model.session();
    const first = await session.generate(PROMPT, short).text();
    expect(`${first}\ufffd`).toBe(begin);
    const { seed: _, ...rest } = OPTIONS;
    const second = await session.generate(undefined, { ...rest, maxNewTokens: 59 - cut }).text();
    // A session never ends, so that what the last token left open is open still.
    expect(free.text).toStartWith(first + second);
    expect((first + second).length).toBeGreaterThan(free.text.length - 3);
  });
});

describe("what is read", () => {
  test("text() equals the pieces together equals the tokens' texts", async () => {
    const pieces: string[] = [];
    for await (const piece of model.generate(PROMPT, OPTIONS)) pieces.push(piece);
    expect(pieces).not.toContain("");
    const texts = [pieces.join(""), await model.generate(PROMPT, OPTIONS).text(), free.text];
    for (const text of texts) expect(text).toBe(model.tokenizer.decode(free.ids));
  });

  test("has one reader", async () => {
    const generation = model.generate(PROMPT, OPTIONS);
    const reader = generation.tokens();
    await reader.next();
    for (const again of [generation.tokens(), generation[Symbol.asyncIterator]()]) {
      const { message } = await failure(OptionError, () => again.next());
      expect(message).toBe("the generation has a reader already");
    }
    for await (const _ of reader);
    await failure(OptionError, () => generation.tokens().next());
    await failure(OptionError, () => generation.text());
    const whole = model.generate(PROMPT, OPTIONS);
    expect([await whole.text(), await whole.text()]).toEqual([free.text, free.text]);
    await failure(OptionError, () => whole.tokens().next());
  });

  test("is the same for the same seed, whoever else reads at the time, and another one for another", async () => {
    const [a, b] = await Promise.all([model.generate(PROMPT, OPTIONS).text(), model.generate(PROMPT, OPTIONS).text()]);
    expect([a, b]).toEqual([free.text, free.text]);
    const texts = await Promise.all([12, 13].map((seed) => model.generate(PROMPT, { ...OPTIONS, seed }).text()));
    const drawn = await Promise.all([1, 2].map(() => model.generate(PROMPT, { ...OPTIONS, seed: undefined }).text()));
    expect(new Set([...texts, ...drawn, free.text]).size).toBe(5);
  });

  test("fails where it was asked for, and the result fails with it", async () => {
    const generation = model.generate([61], OPTIONS);
    const { message } = await failure(OptionError, () => generation.text());
    expect(message).toBe("token 0: expected an id from 0 to 60, found 61");
    expect(generation.result).rejects.toThrow(message);
  });
});

test("its seconds are those until the prompt was read, and those from then on", () => {
  const clock = spyOn(performance, "now");
  try {
    const tally = new Tally();
    clock.mockReturnValue(1000);
    tally.start();
    clock.mockReturnValue(1500);
    tally.prefilled();
    clock.mockReturnValue(3500);
    expect(tally.result()).toMatchObject({ prefillSeconds: 0.5, decodeSeconds: 2 });
  } finally {
    clock.mockRestore();
  }
});

test("the result counts right, and logitsHash is XXH64 of the logits that chose", async () => {
  const { result, tokens } = free;
  expect(result).toMatchObject({ promptTokens: 5, newTokens: 60 });
  using session = await model.session({ seed: 11 });
  for (const id of PROMPT) await session.append([id]);
  const hash = new Xxh64(await kernels());
  const { seed: _, ...options } = OPTIONS;
  for (const token of tokens) {
    const logits = (await session.logits()) as Float32Array;
    hash.update(new Uint8Array(logits.buffer));
    const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
    expect(token.logprob).toBeCloseTo((logits[token.id] as number) - Math.log(sum), 6);
    expect(await session.next(options)).toMatchObject({
      id: token.id,
      position: token.position,
      logprob: token.logprob,
    });
    await session.append([]);
  }
  expect(tokens.map(({ position }) => position)).toEqual(tokens.map((_, i) => 5 + i));
  expect(hash.hex()).toBe(result.logitsHash);
});
