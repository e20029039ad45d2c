import { describe, expect, test } from "bun:test";
import { appendFile, exists, mkdtemp, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { csv, FloatFile, Results } from "../../research/cli/results.ts";

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
    expect([...(await new FloatFile(second, "a").read(1, 3))]).toEqual([2, 3]);
    await second.end();
    expect(await exists(second.scratch)).toBe(false);
  });

  test("other parameters are refused by name, unless it shall begin anew", async () => {
    const directory = await fresh();
    await (await Results.open(directory, "nll", { length: 5, seed: 1 })).keep("a", 1);
    await expect(Results.open(directory, "nll", { length: 6, seed: 1 })).rejects.toThrow("found one with length 5");
    expect((await Results.open(directory, "nll", { length: 6, seed: 1 }, true)).get("a")).toBeUndefined();
  });

  test("a run that has kept nothing yet may go on with other parameters", async () => {
    const directory = await fresh();
    await Results.open(directory, "nll", { length: 5 });
    await (await Results.open(directory, "nll", { length: 6 })).keep("a", 1);
    await expect(Results.open(directory, "nll", { length: 5 })).rejects.toThrow("found one with length 6");
  });

  test("what another version has begun is refused", async () => {
    const directory = await fresh();
    const { scratch } = await Results.open(directory, "nll", { length: 5 });
    const lines = [JSON.stringify({ parameters: { lambent: "0.0.1", length: 5 } }), '["a",1]', ""];
    await writeFile(join(scratch, "journal.jsonl"), lines.join("\n"));
    await expect(Results.open(directory, "nll", { length: 5 })).rejects.toThrow("found one with lambent 0.0.1");
  });

  test("numbers that are not finite are kept", async () => {
    const directory = await fresh();
    const found = { nll: NaN, list: [1.5, Infinity, -Infinity], none: null, text: "NaN" };
    await (await Results.open(directory, "nll", {})).keep("a", found);
    expect((await Results.open(directory, "nll", {})).get("a")).toEqual(found);
  });

  test.each(['["a",1', "5", "null", '"a"', "[1,2]", "\0\0\0"])(
    "a journal with the line %j is refused",
    async (line) => {
      const directory = await fresh();
      const results = await Results.open(directory, "nll", {});
      await appendFile(join(results.scratch, "journal.jsonl"), `${line}\n`);
      await results.keep("b", 2);
      await expect(Results.open(directory, "nll", {})).rejects.toThrow("(--restart starts over), found");
    },
  );

  test("numbers that a damaged directory has lost are missed", async () => {
    const results = await Results.open(await fresh(), "nll", {});
    const floats = new FloatFile(results, "a");
    await expect(floats.read(0, 2)).rejects.toThrow("expected 2 numbers (--restart starts over), found 0");
    await floats.append(Float32Array.of(1, 2));
    await floats.close();
    const [file = ""] = (await readdir(results.scratch)).filter((name) => /^[0-9a-f]{16}$/.test(name));
    await truncate(join(results.scratch, file), 4);
    await expect(floats.read(0, 2)).rejects.toThrow("expected 2 numbers (--restart starts over), found 1");
  });

  test("a directory that another process has is refused until that ends", async () => {
    const directory = await fresh();
    const { scratch } = await Results.open(directory, "nll", {});
    const other = Bun.spawn(["sleep", "60"]);
    await writeFile(join(scratch, "lock"), `${other.pid}`);
    const expected = `nll.partial: expected no other command at work there, found process ${other.pid}`;
    await expect(Results.open(directory, "nll", {})).rejects.toThrow(expected);
    await expect(Results.open(directory, "nll", {}, true)).rejects.toThrow(expected);
    other.kill();
    await other.exited;
    const results = await Results.open(directory, "nll", {});
    await results.close();
    expect(await exists(join(scratch, "lock"))).toBe(false);
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
    await expect(Results.open(path, "nll", {})).rejects.toThrow(/file: expected a writable file, found E/);
  });

  test("CSV quotes what it must", () => {
    expect(csv([{ name: 'a "b", c', nll: Number.NaN, none: undefined }])).toBe('name,nll,none\n"a ""b"", c",NaN,\n');
  });
});
