/** `eval recall`: what is hidden where, and what is made of the answers. */
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { leastLength, MOST_FACTS, memoryOf } from "../../research/eval/recall.ts";
import { load } from "../../src/entry/index.ts";
import { endChildren, good, lambent } from "../cli/run.ts";
import { removeTemporary, temporaryFolder } from "../session/small.ts";
import { MODELS, ROOT } from "../setup.ts";

setDefaultTimeout(120_000);
afterEach(endChildren);
afterAll(removeTemporary);

const MODEL = join(MODELS, "lambent-gptj-6m");
const TEXT = join(MODELS, "texts/austen-persuasion.txt");

describe("eval recall", () => {
  test("facts and passages lie where they say, before the window; nothing of the text is lost", async () => {
    using model = await load(MODEL, { threads: 1 });
    const { tokenizer } = model;
    const [window, most] = [fc.integer({ min: 16, max: 900 }), fc.integer({ min: 2, max: MOST_FACTS })];
    const cases = fc.record({
      window,
      most,
      more: fc.nat(3000),
      after: fc.integer({ min: 2, max: 300 }),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(cases, ({ window, most, more, after, seed }) => {
        const length = leastLength(window, most) + more;
        const document = Array.from({ length: length + after }, (_, i) => 1000 + i);
        const shape = { length, window, facts: most, next: after, seed };
        const { ids, facts, passages, next } = memoryOf(document, tokenizer, shape);
        expect([ids.length, next.length, facts.length, passages.length]).toEqual([length, after, most, most - 1]);
        const hidden = new Set<number>();
        for (const { distance, question, answer } of facts) {
          const begin = length - distance;
          const text = tokenizer.decode(ids.slice(begin, begin + 40));
          const [sentence = "", number] = text.match(/^ The number of the \w+ is (\d{5})\./) ?? [];
          expect(`${tokenizer.decode([...question, ...answer])}.`).toBe(`\n\n${sentence.trim()}`);
          expect(tokenizer.decode(answer).trim()).toBe(number!);
          const size = tokenizer.encode(sentence, { addSpecialTokens: false }).length;
          expect(distance - size).toBeGreaterThanOrEqual(window);
          for (let i = 0; i < size; i++) hidden.add(begin + i);
        }
        for (const { distance, ids: passage } of passages) {
          const begin = length - distance;
          expect(ids.slice(begin, begin + passage.length)).toEqual([...passage]);
          expect(passage.every((_, i) => !hidden.has(begin + i))).toBe(true);
          expect(distance - passage.length).toBeGreaterThanOrEqual(window);
        }
        const rest = [...ids.filter((_, i) => !hidden.has(i)), ...next];
        expect(rest).toEqual(document.slice(0, rest.length));
      }),
      { numRuns: 30 },
    );
  });

  test("what recall finds Λ does not", async () => {
    const out = temporaryFolder();
    const least = leastLength(64, 6);
    const command = ["eval", "recall", "-m", MODEL, "--text", TEXT, "--n-local", "64", "--length", `${least}`];
    const more = ["--recall-layers", "1,2,3,4", "--gates", "none,0", "--full", "--threads", "1", "--out", out];
    const run = await good([...command, ...more]);
    expect(run.out.trimEnd().split("\n").at(-1)).toMatch(
      /^facts found, and what ordinary text loses to Λ: Λ \d+\.\d %, text 0\.0 %; gate none .*; gate 0 .*; full /,
    );
    const { rows, found, parameters } = JSON.parse(readFileSync(join(out, "recall.json"), "utf8"));
    const [plain, any, gated] = rows;
    expect(any["their NLL"]).toBeLessThan(plain["their NLL"] - 0.3);
    expect(any["passages' NLL"]).toBeLessThan(plain["passages' NLL"] - 0.1);
    // A gate leaves what runs on as it is.
    expect(gated["passages' NLL"]).not.toBe(any["passages' NLL"]);
    expect(gated["passages' NLL"]).toBeLessThan(plain["passages' NLL"] - 0.1);
    expect(parameters).toMatchObject({ length: least, window: 64 });
    expect(found[0].facts.map(({ distance }: { distance: number }) => distance)).toEqual(
      found.at(-1).facts.map(({ distance }: { distance: number }) => distance),
    );
    expect(readFileSync(join(out, "recall.svg"), "utf8")).toContain("facts found");
  });

  test("what was read is kept with --recall-store: another run asks it again, with the same findings", async () => {
    const [store, kept, plain] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
    const command = ["eval", "recall", "-m", MODEL, "--text", TEXT, "--n-local", "64", "--length", "3000"];
    const more = ["--recall-layers", "3", "--threads", "1"];
    const rowsOf = (out: string) => JSON.parse(readFileSync(join(out, "recall.json"), "utf8")).rows;
    await good([...command, ...more, "--gates", "none,0", "--exact", "--out", plain]);
    await good([...command, ...more, "--gates", "none", "--recall-store", store, "--out", kept]);
    const snapshots = () => readdirSync(store).filter((name) => name.endsWith(".snapshot"));
    const [name, ...others] = snapshots();
    expect(others).toEqual([]);
    const written = statSync(join(store, name as string)).mtimeMs;
    const again = ["--gates", "none,0", "--exact", "--recall-store", store, "--restart", "--out", kept];
    await good([...command, ...more, ...again]);
    expect(rowsOf(kept)).toEqual(rowsOf(plain));
    expect([snapshots(), statSync(join(store, name as string)).mtimeMs]).toEqual([[name as string], written]);
    // Of another limit or format of weights it is another reading.
    const gated = ["--recall-gate", "-2", "--recall-store", store, "--restart", "--out", kept];
    const [limited] = await Promise.all([
      good([...command, ...more, ...gated, "--limit", "70"]),
      good([...command, ...more, "--recall-store", store, "--dtype", "q8", "--out", temporaryFolder()]),
    ]);
    expect(limited.out).toContain("gate -2");
    expect(snapshots().length).toBe(3);
    writeFileSync(join(store, name as string), "damaged");
    const damaged = await lambent([...command, ...more, ...again]);
    expect([damaged.code, damaged.err]).toEqual([
      1,
      expect.stringContaining(`${join(store, name as string)}: snapshot: `),
    ]);
  });

  test("two runs write the same reading at once", async () => {
    const store = temporaryFolder();
    const path = join(store, "a.snapshot");
    const content = new Uint8Array(2e6).fill(7);
    const writer = `import { writeWhole } from ${JSON.stringify(join(ROOT, "src/cli/files.ts"))};
      for (let i = 0; i < 20; i++) await writeWhole(${JSON.stringify(path)}, new Uint8Array(2e6).fill(7));`;
    const runs = [1, 2].map(() => Bun.spawn([process.execPath, "-e", writer], { stderr: "pipe" }));
    let seen = 0;
    while (runs.some(({ exitCode }) => exitCode === null)) {
      await Bun.sleep(1);
      const found = existsSync(path) ? readFileSync(path) : content;
      expect(found.length).toBe(content.length);
      seen++;
    }
    expect(seen).toBeGreaterThan(0);
    expect(runs.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
    expect(readdirSync(store)).toEqual(["a.snapshot"]);
  });

  test("a text that is too short, and gates that are none, are refused", async () => {
    const command = ["eval", "recall", "-m", MODEL, "--text", TEXT, "--n-local", "64"];
    const short = await lambent([...command, "--length", "100"]);
    expect([short.code, short.err]).toEqual([
      1,
      `error: length: expected at least ${leastLength(64, 6)}, for n-local 64 and 6 facts, found 100\n`,
    ]);
    const twice = await lambent([...command, "--gates", "0,0"]);
    expect([twice.code, twice.err]).toEqual([2, expect.stringContaining("expected different numbers, or none")]);
  });
});
