/** `generate` as people run it: what comes on which stream, and that it is what the library gives. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type GenerateOptions, type LoadOptions, load, POLICIES } from "../../src/entry/index.ts";
import { EMBEDDED, removeTemporary, smallFolder } from "../session/small.ts";
import { shared } from "../setup.ts";
import { good, statsOf } from "./run.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const SETTINGS = { do_sample: true, temperature: 4, top_k: 0, max_new_tokens: 30 };
/** Never stops of itself. */
const TINY = smallFolder("llama-gqa-tied", { ...SETTINGS, eos_token_id: [] });
const GREEDY = ["--temperature", "0", "-n", "12"];

/** The library's text of the same. */
async function library(where: string, prompt: string, options: GenerateOptions, loading: LoadOptions = {}) {
  const generation = (await load(where, loading)).generate(prompt, options);
  return { text: await generation.text(), result: await generation.result };
}

describe("standard output is the text, to the byte, and nothing else", () => {
  test("of the embedded model, for a prompt by argument, flag or standard input", async () => {
    const prompt = "The café was “closed” —";
    const { text } = await library(EMBEDDED, prompt, { temperature: 0, maxNewTokens: 12 });
    expect(text).not.toBe("");
    const runs = await Promise.all([
      good(["generate", prompt, ...GREEDY]),
      good(["generate", "--prompt", prompt, ...GREEDY]),
      good(["generate", ...GREEDY], prompt),
    ]);
    expect(runs.map(({ out }) => out)).toEqual([text, text, text]);
  });

  test("with no argument at all it tells something, and with an empty prompt it begins with BOS", async () => {
    const [none, nothing, empty] = await Promise.all([
      good(["generate", ...GREEDY]),
      good(["generate", ...GREEDY], ""),
      good(["generate", "", ...GREEDY]),
    ]);
    expect(none.out.length).toBeGreaterThan(10);
    expect(nothing.out).toBe(none.out);
    expect(empty.out).toBe((await library(EMBEDDED, "", { temperature: 0, maxNewTokens: 12 })).text);
  });

  test("of a tiny model that cuts characters into tokens; what is not given is its generation_config.json's", async () => {
    const { text, result } = await library(TINY, "ab the", { seed: 5 });
    expect(result.newTokens).toBe(30);
    expect(text).toMatch(/[^\0-\x7f]/);
    expect((await good(["generate", "-m", TINY, "ab the", "--seed", "5"])).out).toBe(text);
  });

  test("a prompt behind --stop is a prompt", async () => {
    const [before, behind] = await Promise.all([
      good(["generate", "-m", TINY, "ab the", "-s", "1", "--stop", "never"]),
      good(["generate", "-m", TINY, "-s", "1", "--stop", "never", "ab the"]),
    ]);
    expect(behind.out).toBe(before.out);
  });

  test("flags are the library's options", async () => {
    const given: [string[], GenerateOptions][] = [
      [["--repetition-penalty", "1.5"], { repetitionPenalty: 1.5 }],
      [["--top-k", "3"], { topK: 3 }],
      [["--top-p", "0.5"], { topP: 0.5 }],
      [["--min-p", "0.3"], { minP: 0.3 }],
      [["--temperature", "1.5", "--max-new-tokens", "9"], { temperature: 1.5, maxNewTokens: 9 }],
      [["--stop", "the", "--stop", "a"], { stopStrings: ["the", "a"] }],
      [["-n", "200"], { maxNewTokens: 200 }],
      [["-n", "200", "--ignore-eos"], { maxNewTokens: 200, ignoreEos: true }],
      [["-n", "200", "--min-new-tokens", "60"], { maxNewTokens: 200, minNewTokens: 60 }],
      [["--no-repeat-ngram-size", "1"], { noRepeatNgramSize: 1 }],
      [["--bad-word", "a", "--bad-word", "the"], { badWords: ["a", "the"] }],
      [["--logit-bias", "40=50.5", "--logit-bias", "41=50.5"], { logitBias: { 40: 50.5, 41: 50.5 } }],
    ];
    const folder = smallFolder("llama-gqa-tied", { ...SETTINGS, eos_token_id: [2, 15, 30] });
    const model = await load(folder);
    const texts = new Set<string>();
    for (const [flags, option] of given) {
      const text = await model.generate("ab", { seed: 3, ...option }).text();
      expect({ flags, out: (await good(["generate", "-m", folder, "ab", "-s", "3", ...flags])).out }).toEqual({
        flags,
        out: text,
      });
      texts.add(text);
    }
    expect(texts.size).toBe(given.length);
  });

  test("--repeat-last-n is the option of load: the penalty counts only these tokens", async () => {
    const folder = smallFolder("llama-gqa-tied", { ...SETTINGS, eos_token_id: [], repetition_penalty: 4 });
    const texts = [undefined, 1, 3].map(async (repeatLastN) => {
      const text = await (await load(folder, { repeatLastN })).generate("ab", { seed: 3 }).text();
      const flags = repeatLastN ? ["--repeat-last-n", `${repeatLastN}`] : [];
      expect((await good(["generate", "-m", folder, "ab", "-s", "3", ...flags])).out).toBe(text);
      return text;
    });
    expect(new Set(await Promise.all(texts)).size).toBe(3);
  });
});

describe("standard error", () => {
  test("is empty, if the seed was given; else it is the seed that was drawn, which gives the same text again", async () => {
    const drawn = await good(["generate", "-m", TINY, "ab"]);
    const [, seed = ""] = drawn.err.match(/^seed (\d+)\n$/) ?? [];
    expect(seed).not.toBe("");
    const again = await good(["generate", "-m", TINY, "ab", "--seed", seed]);
    expect(again).toEqual({ code: 0, out: drawn.out, err: "" });
    const other = await good(["generate", "-m", TINY, "ab"]);
    expect(other.err).not.toBe(drawn.err);
    expect(other.out).not.toBe(drawn.out);
  });

  test("says once what generation_config.json asks for in vain, and nothing of what asks for nothing", async () => {
    const folder = smallFolder("llama-gqa-tied", { ...SETTINGS, num_beams: 3, length_penalty: 1, penalty_alpha: 0.6 });
    const { err } = await good(["generate", "-m", folder, "ab", "--seed", "5"]);
    expect(err.split("\n")).toEqual([
      "warning: generation_config.json: num_beams is not supported and has no effect, found 3",
      "warning: generation_config.json: penalty_alpha is not supported and has no effect, found 0.6",
      "",
    ]);
  });

  test("--stats json: its last line is one object, and its seed gives the same text again", async () => {
    const run = await good(["generate", "-m", TINY, "ab the", "--stats", "json"]);
    const stats = statsOf(run);
    const seed = stats.seed as number;
    const { text, result } = await library(TINY, "ab the", { seed });
    expect(run.out).toBe(text);
    const { prefillSeconds, decodeSeconds, weightBytes, cacheBytes, memoryBytes, ...rest } = stats;
    for (const seconds of [prefillSeconds, decodeSeconds]) expect(seconds).toBeGreaterThan(0);
    // 2 layers, 2 key heads of 8 values, a window of 64, 10 pinned; 4 bytes each.
    expect(cacheBytes).toBe(2 * 2 * 8 * (2 * 64 + 3 * 10) * 4);
    expect(weightBytes).toBeWithin(70_000, 100_000);
    expect(memoryBytes).toBeGreaterThan((weightBytes as number) + (cacheBytes as number));
    expect(rest).toEqual({
      ...{
        model: TINY,
        modelType: "llama",
        modelHash: expect.stringMatching(/^[0-9a-f]{16}$/),
        trainedLength: 64,
        runtime: `bun ${Bun.version}`,
        kernels: expect.stringMatching(/^s\w+-\w+$/),
      },
      ...{
        threads: expect.any(Number),
        chunkSize: 128,
        trainedLength: 64,
        vocabSize: 61,
        hiddenSize: 32,
        dtype: "f32",
        cacheDtype: "f32",
      },
      ...{ attention: "lambda", nGlobal: 10, nLocal: 64, limit: 64, maxPositions: null },
      ...{
        recall: 0,
        recallDistance: 0,
        recallLayers: [],
        recallHeads: "all",
        recallTokens: 0,
        recallHeld: 0,
        recallBlocks: 0,
        recallGate: 0,
        recallQueries: "all",
      },
      ...{ promptTokens: 5, newTokens: 30, finishReason: "length", logitsHash: result.logitsHash, seed },
    });
  });

  test("--stats: some lines for people", async () => {
    const { out, err } = await good(["generate", "-m", TINY, "ab", "--seed", "1", "--stats"]);
    expect(out).toBe((await library(TINY, "ab", { seed: 1 })).text);
    for (const word of [TINY, "llama", "lambda", "tokens/s", "length"]) expect(err).toContain(word);
  });
});

test("--output jsonl: one object per token, whose texts together are the text", async () => {
  const flags = ["generate", "-m", TINY, "ab the", "--seed", "2", "--stop", "and the"];
  const [text, jsonl] = await Promise.all([good(flags), good([...flags, "--output", "jsonl", "--stats", "json"])]);
  expect(jsonl.out).toEndWith("}\n");
  const tokens = jsonl.out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  for (const token of tokens) {
    expect(Object.keys(token)).toEqual(["id", "text", "logprob", "position"]);
    expect(token.id).toBeWithin(0, 61);
    expect(token.logprob).toBeLessThan(0);
  }
  expect(tokens.map(({ position }) => position)).toEqual(tokens.map((_, i) => 5 + i));
  expect(tokens.map((token) => token.text).join("")).toBe(text.out);
  expect(statsOf(jsonl).newTokens).toBe(tokens.length);
});

test.each(["1", "3"])("--threads %s: as many are used, and the text is the same", async (threads) => {
  const run = await good(["generate", "-m", TINY, "ab the", "-s", "7", "--threads", threads, "--stats", "json"]);
  expect(run.out).toBe((await library(TINY, "ab the", { seed: 7 })).text);
  expect(statsOf(run).threads).toBe(Number(threads));
});

describe("--attention", () => {
  test.each(POLICIES)("%s", async (attention) => {
    const flags = ["--attention", attention, "--n-global", "3", "--n-local", "8", "--limit", "12"];
    const run = await good(["generate", "-m", TINY, "ab the", "-s", "7", ...flags, "--stats", "json"]);
    const loading = { attention, nGlobal: 3, nLocal: 8, limit: 12, maxPositions: 100 };
    const { text, result } = await library(TINY, "ab the", { seed: 7 }, loading);
    expect(run.out).toBe(text);
    const { attention: found, nGlobal, nLocal, limit, maxPositions, logitsHash } = statsOf(run);
    expect({ found, logitsHash }).toEqual({ found: attention, logitsHash: result.logitsHash });
    const unbounded = attention === "full" || attention === "ceiling-only";
    const limits = attention === "lambda" || attention === "ceiling-only";
    expect({ nGlobal, nLocal, limit }).toEqual({
      nGlobal: unbounded || attention === "window" ? 0 : 3,
      nLocal: unbounded ? null : 8,
      limit: limits ? 12 : null,
    });
    // What grows with the text is planned for this text: its 5 tokens, and 30 more.
    if (unbounded) expect(maxPositions).toBeWithin(35, 38);
    else expect(maxPositions).toBeNull();
  });
});

const stories = shared("checkpoints/stories260K");
test.skipIf(!stories)("stories260K tells the story of its reference, byte for byte", async () => {
  const { text } = JSON.parse(readFileSync(join(stories as string, "reference.json"), "utf8"));
  const { out } = await good(["generate", "-m", stories as string, "", "--temperature", "0", "-n", "200"]);
  expect(out).toBe(text);
});
