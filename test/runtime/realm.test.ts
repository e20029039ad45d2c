/** Classes of another realm in the global (jsdom in test runners, node:vm): nothing depends on whose they are. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../setup.ts";

setDefaultTimeout(60_000);

const ERRORS = ["Error", "RangeError", "TypeError"];
const ALL = [...ERRORS, "Uint8Array", "ArrayBuffer", "Float32Array", "Promise", "Map", "URL"];

const told = (place: string, names: readonly string[]) => {
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "test/runtime/realm-child.ts", place, ...names], {
    cwd: ROOT,
  });
  return stdout.length ? JSON.parse(`${stdout}`) : `${stderr}`;
};
const EXPECTED = {
  texts: [" was written in the morning", true],
  refused: expect.stringMatching(/^OptionError: model: expected a directory/),
  unread: "broken/config.json: expected bytes, found no such stream",
  info: [expect.stringMatching(/^file:/), "single-plain", "threads: as asked for"],
};

test.each([
  ["here", ["Uint8Array"]],
  ["here", ["ArrayBuffer"]],
  ["here", ["URL"]],
  ["here", ERRORS],
  ["here", ALL],
  ["worker", ALL],
])("an engine %s, with another realm's %p in the global, does what it does", (place, names) => {
  expect(told(place, names)).toEqual(EXPECTED);
});

test("no class of the platform is asked for by instanceof; src/base/realm.ts knows them by name", () => {
  const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((file) => {
    return file.endsWith(".ts");
  });
  const asked = files.flatMap((file) => {
    const text = readFileSync(join(ROOT, "src", file), "utf8");
    const names = [...text.matchAll(/instanceof ([\w.]+)/g)].map(([, name]) => name as string);
    return names.filter((name) => name.split(".")[0]! in globalThis).map((name) => `${file}: ${name}`);
  });
  expect(asked).toEqual([]);
});
