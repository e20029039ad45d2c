/** `lambent diagnose` as a user meets it. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endChildren, good, lambent, readUntil, start } from "../cli/run.ts";

setDefaultTimeout(120_000);

const directory = await mkdtemp(join(tmpdir(), "lambent-diagnose-"));
afterAll(async () => {
  await endChildren();
  await rm(directory, { recursive: true });
});

const words =
  "It was late in the evening when the old house stood silent upon its hill and nobody came to the door .".split(" ");
const text = join(directory, "text.txt");
await writeFile(text, Array.from({ length: 900 }, (_, i) => words[(i * i + 3 * i) % words.length]).join(" "));

const SHORT = ["--length", "320", "--n-local", "48", "--n-global", "4", "--pca-tokens", "96", "--layers", "1,3"];
const args = (out: string, ...more: string[]) => {
  return ["diagnose", "--text", text, "--out", join(directory, out), ...SHORT, ...more];
};
const json = async (out: string) => JSON.parse(await readFile(join(directory, out, "diagnose.json"), "utf8"));

describe("diagnose", () => {
  test("tables, files of every figure, a verdict", async () => {
    const { out } = await good(args("whole"));
    for (const title of [
      "full attention",
      "lambda attention",
      "hidden states",
      "Λ in the first layer, measured: query 147 meets 52 keys",
    ]) {
      expect(out).toContain(title);
    }
    expect(out).toMatch(/\nverdict: full: largest logit .*; Λ meets the keys and distances of Fig 2\n$/);
    const figures = ["entropy", "hidden", "logits", "sinks"].flatMap((name) => [`${name}.csv`, `${name}.svg`]);
    expect((await readdir(join(directory, "whole"))).sort()).toEqual(["diagnose.json", ...figures].sort());
    const found = await json("whole");
    expect(found.keys).toMatchObject({ attended: 52, wrong: 0, holds: true });
    expect(found.policies.map(({ attention }: { attention: string }) => attention)).toEqual(["full", "lambda"]);
    for (const { layers, notFinite } of found.policies) {
      expect(layers).toHaveLength(7);
      expect(layers[0].heads).toHaveLength(4);
      expect(notFinite).toBe(0);
    }
    expect(found.hidden.map(({ layer }: { layer: number }) => layer)).toEqual([1, 3]);
    expect(found.hidden[0].explained).not.toEqual(found.hidden[1].explained);
    // A header, then policies · layers · heads · bands of 3 positions.
    const lines = async (file: string) => (await readFile(join(directory, "whole", file), "utf8")).trim().split("\n");
    expect((await lines("entropy.csv"))[0]).toBe("policy,layer,head,position,entropy,ln_keys");
    expect(await lines("entropy.csv")).toHaveLength(1 + 2 * 6 * 4 * 107);
    expect(await lines("hidden.csv")).toHaveLength(1 + 2 * 96);
    for (const file of figures.filter((name) => name.endsWith(".svg"))) {
      expect(await readFile(join(directory, "whole", file), "utf8")).toContain("lambent diagnose --text text.txt");
    }
  });

  test("interrupted behind its first policy, it goes on to the same numbers", async () => {
    const child = start(args("cut"), "ignore");
    await readUntil(child.stdout.getReader(), (seen) => seen.includes("full attention"));
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(await new Response(child.stderr).text()).toMatch(
      /\d units of work are kept in .*; the same command goes on/,
    );
    await good(args("cut"));
    const { command: _, ...found } = await json("cut");
    const { command: __, ...whole } = await json("whole");
    expect(found).toEqual(whole);
  });

  test.each([
    [["--layers", "1,7"], "--layers: expected layers from 0 to 6, found 7"],
    [["--policies", "full,lambada"], "expected some of lambda, full,"],
    [["--length", "100000"], "expected at least 100000 tokens"],
  ])("%j is refused", async (more, message) => {
    const { code, err } = await lambent(args("refused", ...more));
    expect(code).toBeGreaterThan(0);
    expect(err).toContain(message);
  });
});
