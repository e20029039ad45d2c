/** `lambent eval continuation` as users meet it: its files, how it goes on after Ctrl-C, and what it refuses. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endChildren, good, lambent, readUntil, start } from "./run.ts";

setDefaultTimeout(60_000);
afterEach(endChildren);

const directory = await mkdtemp(join(tmpdir(), "lambent-continuation-"));
const text = async (name: string, words: number) => {
  const path = join(directory, name);
  const line = Array.from({ length: words }, (_, i) => `${i % 7 === 0 ? "The captain" : "and the sea"} said ${i},\n`);
  await writeFile(path, line.join(""));
  return path;
};
const texts = [await text("a.txt", 200), await text("b.txt", 300)];
const ARGS = ["eval", "continuation", "--text", ...texts, "--new-tokens", "8", "--threads", "1"];
const SMALL = [
  ...ARGS,
  "--lengths",
  "20,60",
  "--n-local",
  "32",
  "--windows",
  "16,32",
  "--strides",
  "1,4",
  "--n-locals",
  "16",
];

/** The results, without what differs from run to run. */
async function resultsOf(out: string) {
  expect((await readdir(out)).sort()).toEqual([
    "continuation-cost.svg",
    "continuation.csv",
    "continuation.json",
    "continuation.svg",
  ]);
  const { command: _, ...found } = JSON.parse(await readFile(join(out, "continuation.json"), "utf8"), (key, value) =>
    key === "seconds" ? undefined : value,
  );
  return found;
}

test("after Ctrl-C the same command goes on, and finds what an unbroken one does", async () => {
  const unbroken = join(directory, "unbroken");
  const { out } = await good([...SMALL, "--out", unbroken]);
  const lines = out.trimEnd().split("\n");
  // The header; two policies at two lengths; one more span of Λ and four of re-truncation at one; the verdict.
  expect(lines).toHaveLength(1 + 4 + 5 + 1);
  expect(lines.at(-1)).toStartWith("verdict: the next 8 tokens: lambda NLL ");

  const broken = join(directory, "broken");
  const child = start([...SMALL, "--out", broken], "ignore");
  await readUntil(child.stdout.getReader(), (table) => table.includes("lambda"));
  child.kill("SIGINT");
  const err = await new Response(child.stderr).text();
  expect(await child.exited).toBe(130);
  expect(err).toMatch(/^interrupted: \d+ units of work are kept in .*broken.*; the same command goes on\n$/);
  const rest = await good([...SMALL, "--out", broken]);
  expect(rest.err).toContain("going on: ");
  expect(rest.out.trimEnd().split("\n")).toHaveLength(lines.length);
  const found = await resultsOf(broken);
  expect(found).toEqual(await resultsOf(unbroken));

  expect(found.texts).toHaveLength(2 * (4 + 5));
  expect(found.parameters).toMatchObject({ newTokens: 8, dtype: "bf16", cacheDtype: "f32", texts });
  // 20 tokens are within every window: nothing is forgotten yet.
  const [lambda, full] = ["lambda", "full"].map((name) =>
    found.rows.find(({ system, length }: { system: string; length: number }) => system === name && length === 20),
  );
  expect(lambda).toMatchObject({ nll: full.nll, bleu: full.bleu });
  const csv = await readFile(join(broken, "continuation.csv"), "utf8");
  expect(csv.trimEnd().split("\n")).toHaveLength(1 + found.rows.length);
  expect(await readFile(join(broken, "continuation-cost.svg"), "utf8")).toContain("re-truncation, stride 4");
});

test.each([
  [["--lengths", "5000"], 1, /a\.txt: expected at least 5008 tokens, BOS included, found \d+\n/],
  [["--new-tokens", "100000"], 1, /a\.txt: expected at least 256 tokens and 100000 that follow, found \d+\n/],
  [
    ["--lengths", "20", "--windows", "16", "--strides", "16"],
    1,
    /stride: expected .* below the window \(16\), found 16\n/,
  ],
  [["--policies", "lambda,none"], 2, /--policies <list>' argument 'lambda,none' is invalid.* found none\n/],
  [["--lengths", "1"], 2, /expected a whole number from 2 on, found 1\n/],
])("%p is refused", async (args, code, message) => {
  const run = await lambent([...ARGS, ...args, "--out", join(directory, "refused")]);
  expect(run.err).toMatch(message);
  expect(run).toMatchObject({ code, out: "" });
});
