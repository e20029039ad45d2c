/** Programs of one file (examples/executable), run in an empty folder. */
import { beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { command } from "../platforms/command.ts";
import { MODELS, ROOT } from "../setup.ts";
import { emptyFolder, project } from "./tarball.ts";
import { bun, deno, node22 } from "./tools.ts";

const EXAMPLE = join(ROOT, "examples/executable");

/** The runtime that Deno puts into executables; it is not in Deno's npm packages, and downloaded when it is first needed. */
const { DENORT_BIN } = process.env;

describe("an executable", () => {
  let folder: string;
  let empty: string;
  let wanted: string;
  const build = (script: string, env = {}) => {
    const path = [bun, deno(), node22()].map(dirname).join(":");
    return command(["npm", "run", script], folder, { PATH: `${path}:${process.env.PATH}`, ...env });
  };
  /** What it prints in an empty folder, but for the runtime's name. */
  const story = async () => {
    copyFileSync(join(folder, "story"), join(empty, "story"));
    return anywhere(await command([join(empty, "story")], empty));
  };
  const anywhere = (printed: string) => printed.replace(/\((bun|deno) [\d.]+,/, "(");

  beforeAll(async () => {
    const files = ["package.json", "story.ts"].map((file) => [file, readFileSync(join(EXAMPLE, file), "utf8")]);
    folder = await project("executable", Object.fromEntries(files));
    empty = emptyFolder("elsewhere");
    wanted = anywhere(await command([bun, "story.ts"], folder));
    expect(wanted).toMatch(/\( [2-9]\d* threads, logits [0-9a-f]{16}\)\n$/);
  });

  test("of deno compile has the package inside", async () => {
    // With another program in place of the runtime all is put together, but would not run.
    const runtime = DENORT_BIN ?? deno();
    await build("deno", { DENORT_BIN: runtime });
    const { size } = statSync(join(MODELS, "lambent-llama-5m/model.safetensors"));
    expect(statSync(join(folder, "story")).size).toBeGreaterThan(statSync(runtime).size + size);
  });

  test.skipIf(!DENORT_BIN)("of deno compile tells what the program tells (needs DENORT_BIN)", async () => {
    await build("deno");
    expect(await story()).toBe(wanted);
  });

  test("of bun build --compile tells what the program tells, where the package is not", async () => {
    await build("bun");
    rmSync(join(folder, "node_modules"), { recursive: true });
    expect(await story()).toBe(wanted);
  });
});
