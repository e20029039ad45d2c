/** `eval system-turn`: a table of every policy and depth. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { endChildren, good, lambent } from "./run.ts";

setDefaultTimeout(120_000);
afterAll(endChildren);

test("every policy is asked at every depth", async () => {
  const { out } = await good(["eval", "system-turn", "--window", "192", "--windows", "1", "--trials", "1"]);
  const [, , ...rows] = out.trimEnd().split("\n");
  expect(rows).toHaveLength(15);
  for (const row of rows)
    expect(row).toMatch(/^\| [\w, =]+ \| (0|0.5|1) \| \d+\.\d\d \| \d+\.\d\d \| (0|100) % \| \d+\.\d\d \|$/);
  // What has left the window is unknown; what is pinned is not.
  const rule = (start: string) =>
    rows.filter((row) => row.startsWith(`| ${start}`)).map((row) => Number(row.split("|")[6]));
  const mean = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  expect(mean(rule("sinks"))).toBeLessThan(mean(rule("window alone")));
  const { code, err } = await lambent(["eval", "system-turn", "--pinned", "20", "--trials", "1"]);
  expect({ code, err }).toEqual({
    code: 1,
    err: expect.stringMatching(/^error: pinned: expected at least \d\d tokens, found 20\n$/),
  });
});
