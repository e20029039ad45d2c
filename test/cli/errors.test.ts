/** Mistakes: one line on standard error, nothing on standard output; exit code 2 for wrong usage, 1 for what is wrong. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeTemporary, smallFolder, temporaryFolder } from "../session/small.ts";
import { FIXTURES, ROOT } from "../setup.ts";
import { lambent } from "./run.ts";

setDefaultTimeout(60_000);
afterAll(removeTemporary);

const FIXTURE = join(FIXTURES, "gptj");
const TINY = smallFolder("gptj");
const FOLDER = temporaryFolder();
const OUT = join(FOLDER, "logits.safetensors");

/** Runs what must fail; the line, without `error: `. */
async function mistake(args: readonly string[], code: number, stdin?: Uint8Array): Promise<string> {
  const run = await lambent(args, stdin);
  expect(run).toEqual({ code, out: "", err: expect.stringMatching(/^(seed \d+\n)?error: [^\n]{1,400}\n$/) });
  return run.err.replace(/^(seed \d+\n)?error: /, "").trimEnd();
}

const usage: [string, string[], RegExp][] = [
  ["an unknown flag", ["generate", "--frobnicate"], /unknown option '--frobnicate'/],
  ["an unknown flag before the command", ["--frobnicate"], /unknown option '--frobnicate'/],
  ["an unknown command", ["frobnicate"], /unknown command 'frobnicate'/],
  ["a flag of another command", ["inspect", "--temperature", "1"], /unknown option '--temperature'/],
  ["two prompts", ["generate", "a", "b"], /too many arguments/],
  ["a prompt in two ways", ["generate", "a", "--prompt", "b"], /prompt/],
  ["a value that is missing", ["generate", "--n-local"], /'--n-local <n>' argument missing/],
  ["a word for a number", ["generate", "-n", "many"], /--max-new-tokens.*'many' is invalid.*whole number/],
  ["no thread", ["generate", "--threads", "0"], /--threads.*'0' is invalid.*whole number from 1 to 64/],
  ["too many threads", ["logits", "--threads", "65"], /--threads.*'65' is invalid.*whole number from 1 to 64/],
  ["a number that is not whole", ["generate", "--top-k", "1.5"], /--top-k.*'1.5' is invalid/],
  ["a number that is too small", ["inspect", "--n-local", "0"], /--n-local.*'0' is invalid.*from 1 on/],
  ["a number that is too large", ["generate", "--min-p", "1.5"], /--min-p.*'1.5' is invalid.*from 0 to 1/],
  [
    "a number beyond the exact ones",
    ["generate", "--seed", "9".repeat(20)],
    /--seed.*from 0 to 9007199254740991, found 9/,
  ],
  ["a number that is none", ["generate", "--temperature", "NaN"], /--temperature.*'NaN' is invalid/],
  [
    "a number without end",
    ["generate", "--repetition-penalty", "Infinity"],
    /--repetition-penalty.*'Infinity' is invalid/,
  ],
  ["a number of nothing", ["generate", "--seed", ""], /--seed.*'' is invalid/],
  ["fewer tokens than none", ["generate", "-n", "-2"], /--max-new-tokens.*'-2' is invalid.*from -1 on/],
  ["a bias without a token", ["generate", "--logit-bias", "=5"], /--logit-bias.*'=5' is invalid.*expected an id=bias/],
  ["a bias that is no number", ["generate", "--logit-bias", "5=a"], /--logit-bias.*'5=a' is invalid/],
  ["an unknown policy", ["inspect", "--attention", "mu"], /--attention.*'mu' is invalid.*lambda, full, window, sinks/],
  ["an unknown dtype", ["inspect", "--dtype", "q3"], /--dtype.*'q3' is invalid.*auto, f32, bf16/],
  ["an unknown output", ["generate", "--output", "xml"], /--output.*'xml' is invalid/],
  ["unknown statistics", ["generate", "--stats", "xml"], /--stats.*'xml' is invalid/],
  ["no file to write to", ["logits", "--ids", "1"], /'--out <file>' not specified/],
  ["neither ids nor text", ["logits", "--out", OUT], /--ids or --text.*neither/],
  ["both ids and text", ["logits", "--out", OUT, "--ids", "1", "--text", "a"], /--ids.*--text/],
  ["ids that are none", ["logits", "--out", OUT, "--ids", "1,two"], /--ids.*expected token ids.*, found two$/],
  ["an id that is missing", ["logits", "--out", OUT, "--ids", "1,,2"], /--ids.*expected token ids/],
];
test.each(usage)("%s is wrong usage", async (_, args, expected) => {
  expect(await mistake(args, 2)).toMatch(expected);
});

test("in a clone the package's own command line has the evaluations, too", () => {
  const command = [process.execPath, join(ROOT, "src/cli/main.ts"), "diagnose", "--help"];
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdin: "ignore" });
  expect({ exitCode, out: `${stdout}`, err: `${stderr}` }).toEqual({
    ...{ exitCode: 0, err: "", out: expect.stringMatching(/^Usage: lambent diagnose /) },
  });
});

/** A copy of a tiny model in which something is wrong. */
function broken(name: string, change: (folder: string) => void): string {
  const folder = join(FOLDER, name);
  cpSync(TINY, folder, { recursive: true });
  change(folder);
  return folder;
}
const without = (file: string) => broken(`no-${file}`, (folder) => rmSync(join(folder, file)));
const write = (file: string, text: string | Uint8Array) =>
  broken(`${file}-${Bun.hash(text)}`, (folder) => writeFileSync(join(folder, file), text));
const LATIN1 = Uint8Array.from([0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d]);

const models: [string, () => string, RegExp][] = [
  ["that is not there", () => "./nowhere", /^model: expected a directory, .*, found no directory \.\/nowhere$/],
  ["that was never downloaded, offline", () => "org/name", /^org\/name: expected .*offline/],
  ["that is a file", () => join(ROOT, "package.json"), /expected a directory, .*, found .*package\.json/],
  ["that is a file's plain name", () => "package.json", /expected a directory, .*, found package\.json/],
  ["that is an empty folder", () => temporaryFolder(), /expected model\.safetensors/],
  ["without config.json", () => without("config.json"), /expected config\.json/],
  ["without weights", () => without("model.safetensors"), /expected model\.safetensors/],
  [
    "without a tokenizer",
    () => FIXTURE,
    /expected tokenizer\.json, tokenizer\.model, or vocab\.json and merges\.txt, found none/,
  ],
  ["whose config.json is not UTF-8", () => write("config.json", LATIN1), /config\.json: expected UTF-8/],
  ["whose tokenizer.json is not UTF-8", () => write("tokenizer.json", LATIN1), /tokenizer\.json: expected UTF-8/],
  ["whose config.json is cut", () => write("config.json", '{"model_type": "ll'), /config\.json: line 1, column /],
  ["whose config.json is empty", () => write("config.json", ""), /config\.json: line 1, column 1: expected/],
  ["of an unknown type", () => write("config.json", '{"model_type": "mamba"}'), /model_type: expected .*llama.*mamba/],
  [
    "whose weights are a pointer",
    () => write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"),
    /LFS/,
  ],
  [
    "whose weights are cut",
    () => broken("cut", (folder) => truncateSync(join(folder, "model.safetensors"), 50_000)),
    /bytes/,
  ],
  [
    "whose weights are a picture",
    () => write("model.safetensors", Uint8Array.from([137, 80, 78, 71, 13, 10, 26, 10])),
    /header/,
  ],
  [
    "whose weights are a folder",
    () => {
      const folder = without("model.safetensors");
      mkdirSync(join(folder, "model.safetensors"));
      return folder;
    },
    /model\.safetensors: expected a file, found a directory/,
  ],
  [
    "whose generation_config.json is wrong",
    () => write("generation_config.json", '{"do_sample": true, "top_k": "many"}'),
    /generation_config\.json: top_k: expected/,
  ],
];
test.each(models)("a model %s is an error", async (_, where, expected) => {
  expect(await mistake(["generate", "-m", where(), "ab"], 1)).toMatch(expected);
});

describe("an error names", () => {
  const options: [string, string[], RegExp][] = [
    ["a limit below the window", ["inspect", "--n-local", "9", "--limit", "3"], /^limit: expected .*9.*, found 3$/],
    [
      "a bias of no token",
      ["generate", "-m", TINY, "ab", "--logit-bias", "900=1"],
      /^logitBias: expected .*, found .*900/,
    ],
    ["a top-p of 0", ["generate", "-m", TINY, "ab", "--top-p", "0"], /^topP: expected .* above 0.*, found 0$/],
    ["a stop string of nothing", ["generate", "-m", TINY, "ab", "--stop", ""], /^stop string: expected some text/],
    ["a revision that is none", ["inspect", "-m", "org/name", "--revision", "a b"], /^revision: expected /],
    [
      "an id beyond the vocabulary",
      ["logits", "-m", FIXTURE, "--ids", "1,61", "--out", OUT],
      /^token 1: .*0 to 60, found 61$/,
    ],
    [
      "a folder to write to that is not there",
      ["logits", "-m", FIXTURE, "--ids", "1", "--out", join(FOLDER, "a/b")],
      /a\/b: /,
    ],
    ["a folder in place of a file to write to", ["logits", "-m", FIXTURE, "--ids", "1", "--out", FOLDER], /EISDIR/],
  ];
  test.each(options)("%s", async (_, args, expected) => {
    expect(await mistake(args, 1)).toMatch(expected);
  });

  test("standard input that is not UTF-8", async () => {
    const bytes = Uint8Array.from([0x61, 0xff, 0x62]);
    expect(await mistake(["generate", "-m", TINY], 1, bytes)).toMatch(/^standard input: expected UTF-8/);
  });

  test("the length beyond which full attention has no room, after the text that there was room for", async () => {
    const flags = ["--attention", "full", "--max-positions", "10", "-n", "30", "--ignore-eos", "--temperature", "0"];
    const { code, out, err } = await lambent(["generate", "-m", TINY, "ab the", ...flags, "--output", "jsonl"]);
    expect({ code, tokens: out.trimEnd().split("\n").length }).toEqual({ code: 1, tokens: 6 });
    expect(err).toMatch(/^seed \d+\nerror: maxPositions: expected at most 10 tokens under full attention, found 11\n$/);
    const long = ["generate", "-m", TINY, "ab the and the and", ...flags];
    expect(await mistake(long, 1)).toBe("maxPositions: expected at most 10 tokens under full attention, found 16");
  });
});

test("logits that cannot be computed leave no file behind", async () => {
  const flags = ["--attention", "full", "--max-positions", "3"];
  const args = ["logits", "-m", FIXTURE, "--ids", "1,2,3,4", "--out", OUT, ...flags];
  expect(await mistake(args, 1)).toMatch(/^maxPositions: expected at most 3/);
  expect(existsSync(OUT)).toBe(false);
});
