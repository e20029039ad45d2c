/** The package in test runners whose global is jsdom's, with classes of another realm. */
import { expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { project } from "./tarball.ts";
import { node24, run } from "./tools.ts";

const SPEC = `import { load } from "lambent";
const MODEL = new URL("node_modules/lambent/dist/models/lambent-llama-5m/", "file://" + process.cwd() + "/");
for (const options of [{ threads: 1 }, { threads: 2 }, { threads: 2, worker: true }]) {
  test("a page's test: " + JSON.stringify(options), async () => {
    expect(document.createElement("p").tagName).toBe("P");
    const model = await load(MODEL, { ...options, signal: new AbortController().signal });
    const generation = model.generate("The letter", { maxNewTokens: 5, temperature: 0 });
    expect(await generation.text()).toBe(" was written in the morning");
    const session = await model.session();
    await session.append("Once");
    (await model.restore(await session.snapshot())).dispose();
    model.dispose();
    await expect(load("./nowhere")).rejects.toThrow("model: expected a directory");
  }, 60_000);
}
`;
/** jest's jsdom lacks them. */
const SETUP = `import { TextDecoder, TextEncoder } from "node:util";
Object.assign(globalThis, { TextDecoder, TextEncoder });
`;
const JEST = `export default {
  testEnvironment: "jsdom", transform: {}, testMatch: ["**/*.test.mjs"], setupFiles: ["./setup.mjs"],
  testEnvironmentOptions: { customExportConditions: ["node"] },
};
`;
const VITEST = `export default {
  test: { environment: "jsdom", globals: true, include: ["*.test.mjs"], server: { deps: { inline: INLINE } } },
};
`;
const MODULES = join(import.meta.dir, "node_modules");

/** A project in which the runners are found. */
async function page(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await project(name, { "page.test.mjs": SPEC, ...files });
  for (const tool of ["vitest", "jsdom", "jest-environment-jsdom"]) {
    symlinkSync(join(MODULES, tool), join(folder, "node_modules", tool));
  }
  return folder;
}

test.each([false, true])("vitest with jsdom; the package goes through its transforms: %p", async (inline) => {
  const config = VITEST.replace("INLINE", inline ? "[/lambent/]" : "[]");
  const folder = await page(`vitest-${inline}`, { "vitest.config.mjs": config });
  const { code, out, err } = await run([node24(), join(MODULES, "vitest/vitest.mjs"), "run"], folder);
  expect(code === 0 ? "" : out + err).toBe("");
});

test("jest with jsdom", async () => {
  const folder = await page("jest", { "jest.config.mjs": JEST, "setup.mjs": SETUP });
  const words = [node24(), "--experimental-vm-modules", join(MODULES, "jest/bin/jest.js"), "--forceExit"];
  const { code, out, err } = await run(words, folder);
  expect(code === 0 ? "" : out + err).toBe("");
});
