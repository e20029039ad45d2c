/**
 * generation_config.json against transformers: `bun test/wild/generation.ts`. Its LogitsProcessors on random logits for
 * 10,000 steps of random settings, and its generate() on the embedded model. `--write` makes the golden of `bun test` anew.
 */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "../../src/entry/index.ts";
import { Lcg, type Run, randomRun, replay, type Step } from "./generation_runs.ts";
import { python } from "./python.ts";

const STEPS = 10_000;
const GOLDEN_RUNS = 60;
const MODEL = join(import.meta.dir, "../../models/lambent-llama-5m");

function compareRuns(runs: readonly Run[]): number {
  const wanted: Step[][] = JSON.parse(python("generation.py", [], JSON.stringify({ runs })));
  let wrong = 0;
  let steps = 0;
  for (const [i, run] of runs.entries()) {
    const found = replay(run);
    const expected = wanted[i] as Step[];
    steps += expected.length;
    if (JSON.stringify(found) === JSON.stringify(expected)) continue;
    if (wrong++ >= 5) continue;
    const step = expected.findIndex((at, n) => `${at}` !== `${found[n]}`);
    console.log(
      `run ${i}, step ${step}: transformers ${expected[step]}, ours ${found[step]}\n  ${JSON.stringify(run)}`,
    );
  }
  console.log(`processors: ${steps} steps in ${runs.length} runs, ${wrong} runs differ`);
  if (process.argv.includes("--write")) {
    const golden = runs.slice(0, GOLDEN_RUNS).map((run, i) => JSON.stringify({ ...run, expected: wanted[i] }));
    writeFileSync(join(import.meta.dir, "generation.json"), `[\n${golden.join(",\n")}\n]\n`);
  }
  return wrong;
}

/** Files as a model's author may write them; ids are those of the embedded model. */
function files(ids: readonly number[]): Record<string, unknown>[] {
  const [a, b, c] = ids as [number, number, number];
  const first: Record<string, unknown>[] = [
    { max_length: 60 },
    { max_length: 60, max_new_tokens: 10 },
    {},
    { suppress_tokens: [a, b] },
    { begin_suppress_tokens: [a] },
    { bad_words_ids: [[a, b], [c]] },
    { no_repeat_ngram_size: 2 },
    { no_repeat_ngram_size: 1, repetition_penalty: 1.2 },
    { min_new_tokens: 12, eos_token_id: [a, b] },
    { min_length: 25, eos_token_id: b },
    { forced_eos_token_id: 5 },
    { repetition_penalty: 1.3, encoder_repetition_penalty: 0.8 },
    { encoder_no_repeat_ngram_size: 2 },
    {
      sequence_bias: [
        [[a], -3.5],
        [[a, b], 4.5],
        [[c], 2.5],
      ],
    },
    { exponential_decay_length_penalty: [4, 1.4] },
    { stop_strings: ["and", "he "] },
    { renormalize_logits: true, remove_invalid_values: true, top_k: 3, typical_p: 0.2 },
  ];
  const random = new Lcg(5);
  const mixed = Array.from({ length: 24 }, () => Object.assign({}, ...random.list(2, 4, () => random.pick(first))));
  return [...first, ...mixed].map((file) => ({
    eos_token_id: 0,
    ...("max_length" in file ? {} : { max_new_tokens: 40 }),
    ...file,
  }));
}

async function compareTexts(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "wild-"));
  cpSync(MODEL, folder, { recursive: true });
  const opened = async (file: object) => {
    writeFileSync(join(folder, "generation_config.json"), JSON.stringify(file));
    return load(folder, { threads: 1 });
  };
  const chosen = async (file: object, prompt: readonly number[]) => {
    using model = await opened(file);
    const ids: number[] = [];
    for await (const { id } of model.generate(prompt, { doSample: false }).tokens()) ids.push(id);
    return ids;
  };
  using model = await opened({});
  const prompt = model.tokenizer.encode("The letter lay unopened on the table, and");
  const all = files(await chosen({ max_new_tokens: 3 }, prompt));
  const prompts = all.map(() => prompt);
  const wanted: number[][] = JSON.parse(
    python("generation.py", [], JSON.stringify({ model: MODEL, prompts, files: all })),
  );
  let wrong = 0;
  for (const [i, file] of all.entries()) {
    const found = await chosen(file, prompt);
    if (`${found}` === `${wanted[i]}`) continue;
    wrong++;
    console.log(`${JSON.stringify(file)}: transformers ${wanted[i]}, ours ${found}`);
  }
  rmSync(folder, { recursive: true });
  console.log(`texts of a model: ${all.length} files, ${wrong} differ`);
  return wrong;
}

const runs: Run[] = [];
for (let steps = 0; steps < STEPS; ) {
  const run = randomRun(runs.length);
  runs.push(run);
  steps += replay(run).length;
}
const wrong = compareRuns(runs) + (await compareTexts());
process.exit(wrong ? 1 : 0);
