/** `eval passkey`: what it prints and writes, interrupted or not, and what it refuses. */
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { removeTemporary, temporaryFolder } from "../session/small.ts";
import { MODELS } from "../setup.ts";
import { endChildren, good, lambent, readUntil, start } from "./run.ts";

setDefaultTimeout(120_000);
afterEach(endChildren);
afterAll(removeTemporary);

const MODEL = ["-m", join(MODELS, "lambent-gptj-6m")];
const GRID = ["--lengths", "128,700", "--depths", "0,1", "--trials", "1", "--key-digits", "4"];
const command = (out: string, ...more: string[]) => ["eval", "passkey", ...MODEL, ...GRID, ...more, "--out", out];
const read = (folder: string, file: string) => readFileSync(join(folder, file), "utf8");

/** The command, interrupted after its first line of results: what it says on stderr. */
async function interrupted(folder: string): Promise<string> {
  const child = start(command(folder), "ignore");
  const out = child.stdout.getReader();
  await readUntil(out, (text) => text.includes("\n    128"));
  child.kill("SIGINT");
  const [, err] = await Promise.all([readUntil(out, () => false), new Response(child.stderr).text()]);
  expect(await child.exited).toBe(130);
  expect(existsSync(join(folder, "passkey.json"))).toBe(false);
  return err;
}

describe("eval passkey", () => {
  test("tables, files and verdict; an interrupted run goes on to the same results", async () => {
    const whole = temporaryFolder();
    const broken = temporaryFolder();
    const [run, err] = await Promise.all([good(command(whole)), interrupted(broken)]);
    expect(run.err).toBe("");
    // Within the window every policy finds the key; at 700 tokens, depth 0, only those do that see it.
    expect(run.out).toMatch(/^\nlambda: nGlobal 10, nLocal 512, limit 512;.*\n tokens {5}0 % {3}100 % {5}all/);
    expect(run.out).toMatch(
      /\nlambda\+recall: .*recall 5 of recallTokens 4096, recallBlocks 128, recallDistance 256, recallGate none, recallLayers 1,2,3,4/,
    );
    expect(run.out.trimEnd().split("\n").at(-1)).toMatch(
      /^keys found within the window and beyond it: lambda 100 % and 0 %, lambda\+recall 100 % and 100 %, truncation 100 % and 0 %, full \d+ % and \d+ %$/,
    );
    const found = JSON.parse(read(whole, "passkey.json"));
    expect(found.cells).toHaveLength(16);
    expect(found.parameters).toMatchObject({ lengths: [128, 700], keyMin: 1000, keyMax: 9999, seed: 1, trials: 1 });
    expect(found.parameters.policies.full).toMatchObject({ attention: "full", maxPositions: 704 });
    const rows = read(whole, "passkey.csv").trimEnd().split("\n");
    expect(rows[0]).toBe("policy,length,depth,position,reachable,trials,correct,accuracy,nll,otherNll");
    expect(rows).toHaveLength(17);
    expect(read(whole, "passkey.svg")).toContain("depth of the key");
    // The same keys for all.
    const keys = (policy: string) =>
      found.cells
        .filter((cell: { policy: string }) => cell.policy === policy)
        .flatMap((cell: { trials: { key: number }[] }) => cell.trials.map(({ key }) => key));
    expect(keys("full")).toEqual(keys("lambda"));

    expect(err).toMatch(/^interrupted: \d+ units of work are kept in .*; the same command goes on\n$/);
    const second = await good(command(broken));
    expect(second.out).toBe(run.out);
    expect({ ...JSON.parse(read(broken, "passkey.json")), command: found.command }).toEqual(found);
    expect(read(broken, "passkey.csv")).toBe(read(whole, "passkey.csv"));
    expect(existsSync(join(broken, "passkey.partial"))).toBe(false);
  });

  test.each([
    [["--policies", "lambda,none"], 2, "expected some of lambda, full"],
    [["--policies", "full+recall"], 1, "recall: expected 0 under full attention"],
    [["--lengths", "30"], 1, "lengths: expected at least"],
    [["--lengths", "128,x"], 2, "expected a whole number from 1 on, found x"],
    [["--depths", "0.5,1.5"], 2, "expected a number from 0 to 1, found 1.5"],
    [["--key-min", "5"], 2, "cannot be used with option"],
  ])("%s is refused", async (flags, code, message) => {
    const run = await lambent(command(temporaryFolder(), ...(flags as string[])));
    expect({ code: run.code, out: run.out }).toEqual({ code: code as number, out: "" });
    expect(run.err).toContain(message as string);
    expect(run.err.trimEnd()).not.toContain("\n");
  });
});
