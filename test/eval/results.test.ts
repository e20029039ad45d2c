import { describe, expect, test } from "bun:test";
import { appendFile, exists, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { csv, FloatFile, Results } from "../../src/cli/eval/results.ts";

const fresh = () => mkdtemp(join(tmpdir(), "lambent-results-"));

describe("results", () => {
  test("an interrupted run goes on behind the last unit that it kept, even if a kill cut a line", async () => {
    const directory = await fresh();
    const first = await Results.open(directory, "nll", { length: 5 });
    expect(first.units).toBe(0);
    await first.keep("a", { nll: 1.5 });
    const floats = new FloatFile(first, "a");
    await floats.append(Float32Array.of(1, 2));
    await floats.append(Float32Array.of(3));
    await floats.close();
    await appendFile(join(first.scratch, "journal.jsonl"), '["b",{"nl');
    const second = await Results.open(directory, "nll", { length: 5 });
    expect(second.units).toBe(1);
    expect(second.get("a")).toEqual({ nll: 1.5 });
    expect(second.get("b")).toBeUndefined();
    await second.keep("b", 2);
    expect((await Results.open(directory, "nll", { length: 5 })).get("b")).toBe(2);
    expect([...(await new FloatFile(second, "a").read(1, 9))]).toEqual([2, 3]);
    await second.end();
    expect(await exists(second.scratch)).toBe(false);
  });

  test("other parameters are refused by name, unless it shall begin anew", async () => {
    const directory = await fresh();
    await (await Results.open(directory, "nll", { length: 5, seed: 1 })).keep("a", 1);
    await expect(Results.open(directory, "nll", { length: 6, seed: 1 })).rejects.toThrow("found one with length 5");
    expect((await Results.open(directory, "nll", { length: 6, seed: 1 }, true)).get("a")).toBeUndefined();
  });

  test("a file is written whole or not at all", async () => {
    const directory = await fresh();
    const results = await Results.open(directory, "nll", {});
    await results.write("a.csv", "old");
    async function* broken() {
      yield "new";
      throw new Error("interrupted");
    }
    await expect(results.write("a.csv", broken())).rejects.toThrow("interrupted");
    expect(await readFile(join(directory, "a.csv"), "utf8")).toBe("old");
    expect((await readdir(directory)).sort()).toEqual(["a.csv", "nll.partial"]);
  });

  test("a directory that cannot be written is refused by name", async () => {
    const path = join(await fresh(), "file");
    await writeFile(path, "");
    await expect(Results.open(path, "nll", {})).rejects.toThrow(/file: expected a place that can be written, found E/);
  });

  test("CSV quotes what it must", () => {
    expect(csv([{ name: 'a "b", c', nll: Number.NaN, none: undefined }])).toBe('name,nll,none\n"a ""b"", c",NaN,\n');
  });
});
