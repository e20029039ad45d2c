/** What `npm install lambent` brings into an empty folder. */
import { expect, test } from "bun:test";
import { installed, project } from "./tarball.ts";

/** The embedded model is 11.1 MB of them, the kernels 0.24, the server 0.4 and grammars 0.3 with their types. */
const MOST_BYTES = 14_700_000;

test.each([
  ["with what is optional", [], 3],
  ["without what is optional", ["--omit=optional"], 2],
] as const)("an installation %s is small", async (_, flags, packages) => {
  const found = installed(await project(`footprint${packages}`, {}, flags));
  console.log(`${found.packages} packages, ${found.bytes.toLocaleString("en")} bytes`);
  expect(found.packages).toBe(packages);
  expect(found.bytes).toBeLessThanOrEqual(MOST_BYTES);
});
