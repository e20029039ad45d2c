/** The prompts of `eval passkey`, exactly, and what is made of a model's answers. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bosOf } from "../../research/eval/document.ts";
import { Quiz, type Reader, summarize } from "../../research/eval/passkey.ts";
import { type Cell, cellsOf, type Prompt, PromptMaker, truncated } from "../../research/eval/passkey_prompts.ts";
import type { SessionState } from "../../src/engine/state.ts";
import type { Plan } from "../../src/plan/plan.ts";
import { withCheckpoint } from "../../src/session/load.ts";
import { loadTokenizer } from "../../src/session/load_tokenizer.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { MODELS, openEngine, SHARED } from "../setup.ts";

setDefaultTimeout(60_000);

const PREFIX =
  "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it. I will quiz you about the important information there.";
const FILLER = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
const hidden = (key: number) => `The pass key is ${key}. Remember it. ${key} is the pass key.`;
const QUESTION = "What is the pass key? The pass key is";

const embedded = (await withCheckpoint(join(MODELS, "lambent-gptj-6m"), {}, async (checkpoint) => {
  const tokenizer = (await loadTokenizer(checkpoint)) as Tokenizer;
  return { tokenizer, bos: bosOf(tokenizer, checkpoint.config) };
})) as { tokenizer: Tokenizer; bos: number };

/** Name, tokenizer, BOS, and whether the question's space is a token of its own. */
const TOKENIZERS = [
  ["lambent", () => embedded, true],
  ["llama2", () => ({ tokenizer: sharedTokenizer("llama2"), bos: 1 }), true],
  ["gpt2", () => ({ tokenizer: sharedTokenizer("gpt2"), bos: 50256 }), false],
  ["gpt-neox-20b", () => ({ tokenizer: sharedTokenizer("gpt-neox-20b"), bos: undefined }), false],
] as const;

const sharedFile = (name: string) => join(SHARED, "tokenizers", name, "tokenizer.json");
const loaded = new Map<string, Tokenizer>();
function sharedTokenizer(name: string): Tokenizer {
  const tokenizer = loaded.get(name) ?? new Tokenizer(JSON.parse(readFileSync(sharedFile(name), "utf8")), {}, name);
  loaded.set(name, tokenizer);
  return tokenizer;
}

const KEYS = [7, 42, 12345, 9_999_999].map((key) => ({ key, other: key + 1 }));
const plain = (tokenizer: Tokenizer, ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: true });

describe.each(TOKENIZERS)("prompts of %s", (name, load, spaced) => {
  const test_ = test.skipIf(name !== "lambent" && !existsSync(sharedFile(name)));

  test_("have exactly as many tokens as asked for, and the paper's text", () => {
    const { tokenizer, bos } = load();
    const maker = new PromptMaker(tokenizer, bos);
    for (const length of [100, 128, 129, 137, 500, 2048]) {
      for (const depth of [0, 0.3, 0.5, 1]) {
        for (const { ids, key, shared, answer } of maker.prompts({ length, depth, keys: KEYS })) {
          expect(ids).toHaveLength(length);
          if (bos !== undefined) expect(ids[0]).toBe(bos);
          const text = plain(tokenizer, ids);
          const fillers = text.slice(PREFIX.length + 1).split(` ${QUESTION}`)[0] as string;
          // The key is between whole fillers; only the last filler, before the question, is cut.
          const [before, after, more] = ` ${fillers}`.split(` ${hidden(key)}`) as [string, string, string?];
          expect(more).toBeUndefined();
          expect(text).toBe(`${PREFIX}${before} ${hidden(key)}${after} ${QUESTION}${spaced ? " " : ""}`);
          const count = before.length / (FILLER.length + 1);
          expect(before).toBe(` ${FILLER}`.repeat(count));
          expect(` ${FILLER}`.repeat(100)).toStartWith(after);
          expect(plain(tokenizer, ids.slice(0, shared))).toBe(PREFIX + before);
          expect(plain(tokenizer, [...ids, ...answer])).toBe(`${text.trimEnd()} ${key}`);
          // As if it had not been assembled from pieces.
          const whole = [...ids, ...answer].slice(bos === undefined ? 0 : 1);
          if (after === ` ${FILLER}`.repeat(after.length / (FILLER.length + 1))) {
            expect(whole).toEqual(tokenizer.encode(`${text.trimEnd()} ${key}`, { addSpecialTokens: false }));
          }
        }
      }
    }
  });

  test_("hide the key as deep as asked for, as near as whole fillers come", () => {
    const { tokenizer, bos } = load();
    const maker = new PromptMaker(tokenizer, bos);
    const places = [0, 0.25, 0.5, 0.75, 1].map(
      (depth) => maker.prompts({ length: 4000, depth, keys: KEYS })[0]?.shared,
    );
    const [first, , , , last] = places as number[];
    const filler = tokenizer.encode(`${FILLER} ${FILLER}`).length / 2;
    for (const [i, place] of (places as number[]).entries()) {
      expect(Math.abs(place - (first! + (i / 4) * (last! - first!)))).toBeLessThan(filler);
    }
    expect(plain(tokenizer, maker.prompts({ length: 4000, depth: 1, keys: KEYS })[3]!.ids.slice(last))).toStartWith(
      ` ${hidden(9_999_999)}`.slice(name === "llama2" ? 1 : 0),
    );
    expect(4000 - last!).toBeLessThan(2.5 * filler + 50);
  });

  test_("an answer may take as many tokens as the longest key", () => {
    const { tokenizer, bos } = load();
    const maker = new PromptMaker(tokenizer, bos);
    expect(maker.answerTokens(9_999_999)).toBe(spaced ? 7 : 8);
    for (const { key } of KEYS) expect(maker.answer(key).length).toBeLessThanOrEqual(maker.answerTokens(9_999_999));
  });
});

describe("cells", () => {
  const grid = { lengths: [100, 200], depths: [0, 1], trials: 50, keyMin: 5, keyMax: 1200 };

  test("every length with every depth; keys of their own, from the whole range, the same for the same seed", () => {
    const cells = cellsOf(grid, 1);
    expect(cells.map(({ length, depth }) => [length, depth])).toEqual([
      [100, 0],
      [100, 1],
      [200, 0],
      [200, 1],
    ]);
    const keys = cells.flatMap((cell) => cell.keys);
    expect(new Set(keys.map(({ key }) => key)).size).toBeGreaterThan(150);
    expect(Math.min(...keys.map(({ key }) => key))).toBeGreaterThanOrEqual(5);
    expect(Math.max(...keys.map(({ key }) => key))).toBeLessThanOrEqual(1200);
    expect(cellsOf(grid, 1)).toEqual(cells);
    expect(cellsOf(grid, 2)).not.toEqual(cells);
    for (const { key, other } of keys) {
      expect(other).not.toBe(key);
      expect(`${other}`).toHaveLength(`${key}`.length);
      expect(other >= 5 && other <= 1200).toBe(true);
    }
  });

  test("both ends of the range are drawn, and the other key is uniform too", () => {
    const cells = cellsOf({ ...grid, trials: 200, keyMin: 10, keyMax: 12 }, 1);
    const pairs = new Set(cells.flatMap(({ keys }) => keys.map(({ key, other }) => `${key} ${other}`)));
    expect([...pairs].sort()).toEqual(["10 11", "10 12", "11 10", "11 12", "12 10", "12 11"]);
  });

  test("a key without another of as many digits is refused", () => {
    expect(() => cellsOf({ ...grid, keyMin: 10, keyMax: 100 }, 1)).toThrow("at least two of 3 digits, found 100");
  });

  test("a length without room for a prompt is refused with what it takes", () => {
    const maker = new PromptMaker(embedded.tokenizer, embedded.bos);
    let least = 0;
    try {
      maker.prompts({ length: 20, depth: 0, keys: KEYS });
    } catch (error) {
      least = Number((error as Error).message.match(/^lengths: expected at least (\d+) tokens .*, found 20$/)?.[1]);
    }
    expect(maker.prompts({ length: least, depth: 1, keys: KEYS })[3]?.ids).toHaveLength(least);
    expect(() => maker.prompts({ length: least - 1, depth: 1, keys: KEYS })).toThrow("lengths");
  });
});

test("truncation keeps BOS and the end", () => {
  const maker = new PromptMaker(embedded.tokenizer, embedded.bos);
  const [prompt] = maker.prompts({ length: 300, depth: 0.5, keys: KEYS }) as [Prompt];
  const { ids, shared } = truncated(prompt, 200, embedded.bos);
  expect(ids).toEqual([embedded.bos, ...prompt.ids.slice(-199)]);
  expect(shared).toBe(0);
  expect(truncated(prompt, 200, undefined).ids).toEqual(prompt.ids.slice(-200));
  expect(truncated(prompt, 300, embedded.bos)).toBe(prompt);
});

/** A model that answers the question with a given text, and nothing else; with room for this many sessions. */
function planted(
  says: (text: string) => string,
  slots = 3,
): Reader & { readonly sessions: Map<number, number[]>; appended: number } {
  const { tokenizer } = embedded;
  const sessions = new Map<number, number[]>();
  let number = 0;
  const answerOf = (ids: readonly number[]) => {
    const [prompt, so = ""] = plain(tokenizer, ids).split(`${QUESTION} `) as [string, string?];
    const rest = says(prompt).slice(so.length);
    return rest === ""
      ? (tokenizer.eosTokenId as number)
      : (tokenizer.encode(rest, { addSpecialTokens: false })[0] as number);
  };
  const add = (ids: number[]) => {
    if (sessions.size === slots) throw new Error("no room");
    sessions.set(++number, ids);
    return number;
  };
  return {
    plan: { policy: { recallQueries: "all" } } as Plan,
    sessions,
    appended: 0,
    open: () => add([]),
    fork: (id) => add([...(sessions.get(id) as number[])]),
    dispose: (id) => void sessions.delete(id),
    async append(id, tokens) {
      this.appended += tokens.length;
      sessions.get(id)?.push(...tokens);
    },
    async next(id) {
      const ids = sessions.get(id) as number[];
      const chosen = answerOf(ids);
      ids.push(chosen);
      return { id: chosen, logprob: 0, position: ids.length };
    },
    state: (id) => id as unknown as SessionState,
    logits(state) {
      const row = new Float32Array(tokenizer.vocabSize).fill(-30);
      row[answerOf(sessions.get(state as unknown as number) as number[])] = 0;
      return row;
    },
  };
}

describe("a quiz", () => {
  const maker = new PromptMaker(embedded.tokenizer, embedded.bos);
  const cells: Cell[] = cellsOf(
    { lengths: [150, 300], depths: [0, 0.5, 1], trials: 2, keyMin: 1, keyMax: 9_999_999 },
    3,
  );
  const prompts = cells.flatMap((cell) => maker.prompts(cell));
  const find = (text: string) => text.match(/The pass key is (\d+)\. Remember/)?.[1] as string;
  const asked = async (reader: Reader, list = prompts) => {
    const quiz = new Quiz(reader, embedded.tokenizer, maker.answerTokens(9_999_999));
    const trials = [];
    for (const prompt of list) trials.push(await quiz.ask(prompt));
    quiz.end();
    return trials;
  };

  test("a model that always finds the key gets 100 %, and the key is likely, another one not", async () => {
    const reader = planted(find);
    const trials = await asked(reader);
    expect(summarize(trials)).toMatchObject({ trials: 12, accuracy: 1 });
    expect(trials.map(({ answer }) => answer)).toEqual(prompts.map(({ key }) => `${key}`));
    for (const { nll, otherNll } of trials) expect(nll < 1e-6 && otherNll > 1).toBe(true);
    expect(reader.sessions.size).toBe(0);
  });

  test("the first whole number counts, whatever stands around it", async () => {
    const small = maker.prompts({ length: 150, depth: 0, keys: [{ key: 412, other: 413 }] });
    const right = async (says: string) =>
      (
        await asked(
          planted(() => says),
          small,
        )
      ).map(({ correct }) => correct);
    expect(await right("412. And 9")).toEqual([true]);
    expect(await right("0412.")).toEqual([true]);
    expect(await right("a 412")).toEqual([true]);
    expect(await right("4123")).toEqual([false]);
    expect(await right("41 412")).toEqual([false]);
    expect(await right("none")).toEqual([false]);
    expect(await right("")).toEqual([false]);
  });

  test("a model that says another number gets 0 %", async () => {
    const trials = await asked(planted((text) => `${Number(find(text)) - 1}`));
    expect(summarize(trials)).toMatchObject({ accuracy: 0 });
    expect(summarize([]).accuracy).toBeNaN();
  });

  test("what prompts share is read once; without room for that each is read alone, with the same results", async () => {
    const roomy = planted(find);
    const narrow = planted(find, 1);
    expect(await asked(roomy)).toEqual(await asked(narrow));
    expect(roomy.appended).toBeLessThan(narrow.appended / 3);
    expect(narrow.sessions.size).toBe(0);
  });

  const MODEL = join(MODELS, "lambent-gptj-6m");
  const ask = (keys: number, lengths: number[]) =>
    cellsOf({ lengths, depths: [0, 0.5, 1], trials: keys, keyMin: 1000, keyMax: 9999 }, 1).flatMap((cell) =>
      maker.prompts(cell),
    );

  test("the embedded model finds keys within its window", async () => {
    const { accuracy, nll, otherNll } = summarize(await asked(await openEngine(MODEL), ask(2, [200])));
    expect(accuracy).toBeGreaterThan(0.8);
    expect(nll).toBeLessThan(otherNll - 2);
  });

  test.each(["all", "last"] as const)(
    "no bit depends on what is shared, with middle tokens of %s",
    async (recallQueries) => {
      const options = { nLocal: 48, recall: 3, recallLayers: [1], recallQueries };
      const list = ask(1, [150]);
      const shared = await asked(await openEngine(MODEL, options), list);
      expect(shared).toEqual(await asked(await openEngine(MODEL, { ...options, maxSessions: 1 }), list));
    },
  );
});
