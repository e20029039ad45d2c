import { expect, test } from "bun:test";
import { ModelError } from "../../src/base/errors.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { CHECKPOINTS, changed, type Json, llamaJson, ownConfig, ownJson, readGolden } from "./files.ts";

/** Mutants of each file; FUZZ_RUNS multiplies. */
const RUNS = 400 * Number(process.env.FUZZ_RUNS ?? 1);
const WRONG = [
  null,
  undefined,
  true,
  false,
  0,
  -1,
  1.5,
  2 ** 40,
  Number.NaN,
  "",
  "x",
  "▁",
  "(",
  "(?<",
  "\n",
  "__proto__",
  [],
  [[]],
  [1],
  ["a b"],
  {},
  { type: "x" },
  { type: "Sequence" },
  { type: "NFC" },
  { type: "ByteLevel" },
  { type: "Split", pattern: { Regex: "[" } },
  { type: "Metaspace" },
  { type: "Replace", pattern: { String: "" }, content: "" },
  { type: "Fuse" },
  { String: "a" },
  { Regex: "a*" },
];
const TEXTS = ["", "hello <s> world", "日本 é 12\r\n", " ".repeat(80)];

/** A generator with a seed, so that a failure can be run again (mulberry32). */
function random(seed: number) {
  return (below: number) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Deletes, replaces or renames something, most often near the top, where the file's structure is. */
function mutate(json: unknown, pick: (below: number) => number): void {
  let target = json as Record<string, unknown>;
  for (;;) {
    const keys = Object.keys(target);
    if (keys.length === 0) return;
    const key = keys[pick(keys.length)]!;
    const value = target[key];
    if (typeof value === "object" && value !== null && pick(4) > 0) {
      target = value as Record<string, unknown>;
      continue;
    }
    const kind = pick(8);
    if (kind === 0) delete target[key];
    else if (kind === 1) target[keys[pick(keys.length)]!] = value;
    else if (kind === 2 && typeof value === "number") target[key] = value + [-1, 1, 1e6, 0.5][pick(4)]!;
    else target[key] = WRONG[pick(WRONG.length)];
    return;
  }
}

const { characterLevel, cases } = readGolden();
const own = ownJson();
const bases: [string, Json, Json][] = [
  ["Llama style", llamaJson(), { bos_token: "<s>", add_eos_token: true, eos_token: { content: "</s>" } }],
  [
    "byte-level",
    small(own),
    { ...ownConfig(), added_tokens_decoder: { 0: own.added_tokens[0] }, chat_template: [{ name: "a", template: "b" }] },
  ],
  ...["Llama 3", "Metaspace first split True", "added lstrip and rstrip", "Punctuation Contiguous"].map(
    (name): [string, Json, Json] => {
      const { base, changes } = cases.find((one) => one.name === name)!;
      return [name, changed(base === "byte" ? small(own) : characterLevel, changes), {}];
    },
  ),
  ...CHECKPOINTS.filter(({ there }) => there).map(({ name, json }): [string, Json, Json] => [name, json() as Json, {}]),
];

/** The file without most of its merges, so that mutants are cheap and hit the structure. */
function small(json: Json): Json {
  const { merges } = json.model as { merges: unknown[] };
  return changed(json, { "model.merges": merges.slice(0, 50) });
}

test.each(bases)(
  "%s: a damaged file works or gives a ModelError of one line, nothing else",
  (_, json, config) => {
    let refused = 0;
    for (let run = 0; run < RUNS; run++) {
      const pick = random(run);
      const [file, settings] = [structuredClone(json), structuredClone(config)];
      for (let n = pick(3); n >= 0; n--) mutate(pick(5) === 0 ? settings : file, pick);
      const started = performance.now();
      let tokenizer: Tokenizer;
      try {
        tokenizer = new Tokenizer(file, settings, "fuzz");
      } catch (error) {
        refused++;
        if (!(error instanceof ModelError)) throw new Error(`run ${run}: ${error}`, { cause: error });
        expect(error.message).toMatch(/^fuzz: .+: expected .+, found [^\n]+$/);
        continue;
      }
      for (const text of TEXTS) {
        const ids = tokenizer.encode(text);
        if (!ids.every((id) => Number.isInteger(id) && id < tokenizer.vocabSize))
          throw new Error(`run ${run}: ids ${ids}`);
        expect(typeof tokenizer.decode(ids)).toBe("string");
      }
      expect(performance.now() - started).toBeLessThan(2000);
    }
    expect(refused).toBeGreaterThan(RUNS / 10);
    expect(refused).toBeLessThan(RUNS);
  },
  120_000 * Number(process.env.FUZZ_RUNS ?? 1),
);
