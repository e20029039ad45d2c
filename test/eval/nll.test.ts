import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { between, edgesOf } from "../../research/eval/nll.ts";
import { good, lambent, start } from "../cli/run.ts";
import { readSafetensors } from "../reference/safetensors.ts";
import { MODELS, ROOT } from "../setup.ts";

// Other processes may have the cores.
setDefaultTimeout(120_000);
const TEXTS = join(ROOT, "models/texts");
const LLAMA = join(MODELS, "lambent-llama-5m");
const scratch = await mkdtemp(join(tmpdir(), "lambent-nll-"));
afterAll(() => rm(scratch, { recursive: true }));
const texts = ["austen-persuasion", "dickens-great-expectations", "shelley-frankenstein"].map((name) =>
  join(TEXTS, `${name}.txt`),
);
const nll = (out: string, ...args: string[]) => ["eval", "nll", "--out", join(scratch, out), "--threads", "1", ...args];
const tensorsOf = (out: string) => readSafetensors(join(scratch, out, "nll.safetensors"));
const jsonOf = async (out: string) => JSON.parse(await readFile(join(scratch, out, "nll.json"), "utf8"));

describe("eval nll", () => {
  const golden = readSafetensors(join(ROOT, "test/golden/fixtures/nll.safetensors"));
  test.each([...golden.keys()])("%s: equals transformers' cross-entropy within the trained length", async (model) => {
    const policies = "lambda,full,window,ceiling-only,retruncation";
    const where = ["--model", join(MODELS, model), "--length", "400", "--policies", policies];
    await good(nll(model, ...where, "--text", ...texts));
    const wanted = golden.get(model)!;
    for (const policy of policies.split(",")) {
      const found = tensorsOf(model).get(policy)!;
      expect(found.shape).toEqual([3, 399]);
      const worst = Math.max(...found.data.map((value, i) => Math.abs(value - wanted.data[i]!)));
      expect(worst).toBeLessThan(1e-4);
    }
    const { bands, perplexities } = await jsonOf(model);
    const mean = wanted.data.reduce((sum, value) => sum + value) / wanted.data.length;
    expect(perplexities[0].lengths.at(-1).nll).toBeCloseTo(mean, 4);
    expect(bands[0].bands.reduce((sum: number, { tokens }: { tokens: number }) => sum + tokens, 0)).toBe(3 * 399);
  });

  test("re-truncation reads each stretch anew, with BOS in front", async () => {
    const args = ["--model", LLAMA, "--window", "64", "--stride", "16", "--policies", "retruncation,full"];
    await good(nll("re", ...args, "--length", "160", "--text", texts[0]!));
    const found = tensorsOf("re").get("retruncation")!.data;
    // The window that begins at token 48, as a text of its own.
    const begin = 48;
    const { loadEngine, withCheckpoint } = await import("../../src/session/load.ts");
    const { requireTokenizer } = await import("../../src/session/load_tokenizer.ts");
    const window = await withCheckpoint(LLAMA, {}, async (checkpoint, runtime) => {
      const ids = (await requireTokenizer(checkpoint)).encode(await readFile(texts[0]!, "utf8"));
      const engine = await loadEngine(checkpoint, runtime, { attention: "full", threads: 1, observe: { nll: true } });
      const { scoreDocument } = await import("../../research/eval/nll.ts");
      const all: number[] = [];
      await scoreDocument(
        engine,
        [0, ...ids.slice(begin + 1, begin + 64)],
        [{ from: 1, to: 64 }],
        (some) => void all.push(...some),
      );
      return all;
    });
    expect([...found.slice(begin + 47, begin + 63)]).toEqual(window.slice(47, 63));
    expect([...found.slice(0, 63)]).toEqual([...tensorsOf("re").get("full")!.data.slice(0, 63)]);
  });

  test("from a position on, the same numbers", async () => {
    const small = ["--length", "400", "--n-local", "64", "--window", "64"];
    const args = ["--model", LLAMA, ...small, "--policies", "lambda,retruncation,full", "--text", texts[1]!];
    await good(nll("all", ...args));
    for (const from of [100, 300, 399]) {
      await good(nll(`from${from}`, ...args, "--from", `${from}`));
      for (const [policy, { shape, data }] of tensorsOf(`from${from}`)) {
        expect(shape).toEqual([1, 400 - from]);
        expect([...data]).toEqual([
          ...tensorsOf("all")
            .get(policy)!
            .data.slice(from - 1),
        ]);
      }
    }
  });

  test("where one of several spans is scored, its numbers, and the table is of these tokens", async () => {
    const args = ["--model", LLAMA, "--length", "2200", "--n-local", "64", "--policies", "lambda", "--text", texts[1]!];
    await good(nll("each", ...args));
    await good(nll("every", ...args, "--every", "2"));
    const spans = [
      [1, 152],
      [1176, 2200],
    ] as const;
    const positions = spans.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
    for (const [policy, { shape, data }] of tensorsOf("every")) {
      const each = tensorsOf("each").get(policy)!.data;
      expect(shape).toEqual([1, positions.length]);
      expect([...data]).toEqual(positions.map((position) => each[position - 1] as number));
    }
    const lines = (await readFile(join(scratch, "every/nll.csv"), "utf8")).trim().split("\n").slice(1);
    expect(lines.map((line) => Number(line.split(",")[0]))).toEqual(positions);
    const { perplexities } = await jsonOf("every");
    const data = tensorsOf("every").get("lambda")!.data;
    expect(perplexities[0].lengths.at(-1).nll).toBeCloseTo(
      data.reduce((sum, value) => sum + value, 0) / data.length,
      6,
    );
  });

  test("an interrupted run goes on, and finds what an unbroken one finds", async () => {
    const args = ["--model", LLAMA, "--length", "200", "--policies", "lambda,window", "--text", ...texts];
    await good(nll("whole", ...args));
    const child = start(nll("cut", ...args), "ignore");
    const journal = join(scratch, "cut/nll.partial/journal.jsonl");
    while ((await readFile(journal, "utf8").catch(() => "")).split("\n").length < 4) await Bun.sleep(5);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(await new Response(child.stderr).text()).toContain("the same command goes on");
    const other = await lambent(nll("cut", ...args, "--length", "199"));
    expect(other).toMatchObject({ code: 1 });
    expect(other.err).toContain("found one with length 200");
    await good(nll("cut", ...args));
    expect(await readFile(join(scratch, "cut/nll.safetensors"))).toEqual(
      await readFile(join(scratch, "whole/nll.safetensors")),
    );
    expect(await Bun.file(journal).exists()).toBe(false);
  });

  test("writes a table of several models, and plots", async () => {
    const models = ["lambent-llama-5m", "lambent-mpt-5m"].map((name) => join(MODELS, name));
    const { out } = await good(nll("two", "--models", ...models, "--length", "200", "--text", texts[0]!, texts[1]!));
    expect(out).toContain("over re-truncation, 95 % bootstrap: lambda");
    const csv = await readFile(join(scratch, "two/perplexity.csv"), "utf8");
    expect(csv.split("\n")).toHaveLength(1 + 2 * 3 + 1);
    for (const model of models) {
      expect(await readFile(join(scratch, "two", basename(model), "nll.svg"), "utf8")).toContain("position (tokens)");
    }
  });

  test("a policy may come with a window of its own", async () => {
    const args = ["--model", LLAMA, "--length", "300", "--text", texts[0]!];
    await good(nll("own", ...args, "--policies", "lambda:64,lambda,window:64"));
    await good(nll("flag", ...args, "--policies", "lambda,window", "--n-local", "64"));
    const [own, flag] = [tensorsOf("own"), tensorsOf("flag")];
    expect([...own.keys()]).toEqual(["lambda:64", "lambda", "window:64"]);
    for (const policy of ["lambda", "window"]) {
      expect([...own.get(`${policy}:64`)!.data]).toEqual([...flag.get(policy)!.data]);
    }
    expect([...own.get("lambda")!.data]).not.toEqual([...flag.get("lambda")!.data]);
  });

  test("results are written even if the pipe is closed", async () => {
    const child = start(nll("deaf", "--text", texts[0]!, "--length", "99", "--policies", "lambda,full"), "ignore");
    await child.stdout.cancel();
    expect(await child.exited).toBe(0);
    expect((await jsonOf("deaf")).perplexities).toHaveLength(2);
  });

  test("what is wrong is named", async () => {
    await writeFile(join(scratch, "short.txt"), "Once upon a time");
    const cases: [string[], string, number][] = [
      [["--text", texts[0]!, "--every", "2"], "every: expected 1 with retruncation", 1],
      [["--text", join(scratch, "short.txt")], "short.txt: expected at least 4096 tokens, BOS included, found", 1],
      [["--text", join(scratch, "none.txt")], "none.txt: expected a text file or a directory of them, found ENOENT", 1],
      [["--text", texts[0]!, "--policies", "lambda,alibi"], "expected some of lambda, full", 2],
      [["--text", texts[0]!, "--policies", "full:64"], "behind one of lambda, window, sinks, lambda-only", 2],
      [["--text", texts[0]!, "--policies", "lambda:0"], "expected a whole number from 1 on, found 0", 2],
      [["--text", texts[0]!, "--stride", "512"], "stride: expected less than the window (512), found 512", 1],
      [["--text", texts[0]!, "--models", LLAMA, `${LLAMA}/`], "--models: expected a name of its own for each", 1],
      [["--text", texts[0]!, "--model", LLAMA, "--models", LLAMA], "cannot be used with option '-m, --model", 2],
      [["--text", texts[0]!, "--length", "1"], "expected a whole number from 2 on, found 1", 2],
      [[], "required option '--text <paths...>' not specified", 2],
    ];
    for (const [args, message, code] of cases) {
      const run = await lambent(nll("wrong", ...args));
      expect(run.err).toContain(message);
      expect(run).toMatchObject({ out: "", code });
    }
  });
});

describe("bands", () => {
  test("a NaN is counted, and takes the mean of its band and no other", () => {
    const edges = edgesOf(1, 8, []);
    expect(edges).toEqual([1, 4, 8]);
    const documents = [
      { counts: [3, 4], sums: [3, 8], nans: [0, 0] },
      { counts: [3, 4], sums: [9, 6], nans: [0, 1] },
    ];
    expect(between(documents, edges, 1, 4)).toEqual({ mean: 2, tokens: 6, nan: 0 });
    expect(between(documents, edges, 4, 8)).toEqual({ mean: Number.NaN, tokens: 8, nan: 1 });
  });
});
