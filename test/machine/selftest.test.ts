/** The known-answer test passes over what is no build of the kernels; test/mutants has broken ones. */
import { expect, test } from "bun:test";
import { type Build, loadKernels } from "../../src/machine/kernels.ts";
import { bun } from "../../src/runtime/bun.ts";

const good = () => bun.kernels("single-plain");

test("what is no module, and what is a module of something else, is passed over too", async () => {
  const nothing = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]); // a module that exports nothing
  const source = async (build: Build) =>
    build === "shared-plain" ? new Uint8Array(8) : build === "shared-relaxed" ? nothing : good();
  expect((await loadKernels(source, ["shared-plain", "shared-relaxed", "single-plain"])).build).toBe("single-plain");
});
