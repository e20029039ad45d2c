import { expect, test } from "bun:test";
import { closeAll, versionOf } from "../../src/base/source.ts";

test("the version of several sources names the content of each, or is unknown", () => {
  expect(versionOf([{ version: "a" }, { version: "b" }])).toBe("a b");
  expect(versionOf([{ version: "a" }, {}])).toBeUndefined();
});

test("all sources are closed, whichever of them fail; the first error is told", async () => {
  const closed: number[] = [];
  const source = (number: number, fails: boolean) => ({
    async close() {
      closed.push(number);
      if (fails) throw new Error(`${number}`);
    },
  });
  await expect(closeAll([source(1, true), source(2, true), source(3, false)])).rejects.toThrow("1");
  expect(closed).toEqual([1, 2, 3]);
});
