/** Every export of src says what it is. */
import { expect, test } from "bun:test";
import { globSync } from "node:fs";
import { ROOT } from "../setup.ts";
import { withExports } from "./exports.ts";

test("every export of src has a docstring", async () => {
  const files = globSync("src/**/*.ts", { cwd: ROOT }).filter((file) => !/\.d\.ts$/.test(file));
  const missing: string[] = [];
  await withExports(async (code) => {
    for (const file of files.sort()) {
      for (const [name, symbol] of await code.exportsOf(file)) {
        if (code.isHandedOn(symbol)) continue;
        if ((await code.documentationOf(symbol)) === "") missing.push(`${file}: ${name}`);
      }
    }
  });
  expect(missing).toEqual([]);
});
