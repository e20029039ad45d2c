/** Types and the manifest, as package authors' tools and other people's compilers see them. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../platforms/command.ts";
import { ROOT } from "../setup.ts";
import { project, readmeProgram, tarball, WORK } from "./tarball.ts";
import { deno, run, tool } from "./tools.ts";

test("attw finds nothing wrong with any entry", async () => {
  await command([...tool("@arethetypeswrong/cli/dist/index.js"), await tarball(), "--profile", "esm-only"], WORK);
});

test("publint finds nothing wrong", async () => {
  await command([...tool("publint/src/cli.js"), "run", await tarball(), "--strict"], WORK);
});

test("deno publish accepts the sources, without slow types", async () => {
  await command([deno(), "publish", "--dry-run", "--allow-dirty"], ROOT);
});

/** What a program would use beside the README's ten lines. */
const PROGRAM = `import { engineInfo, type Files, type Generation, inspect, load, type Model, ModelError, type Session } from "lambent";
import { embedded } from "lambent/embedded";

const files: Files = embedded;
const onProgress = ({ loaded }: { loaded: number }) => console.log(loaded);
const model: Model = await load(files, { dtype: "q8", cacheDtype: "bf16", threads: 2, onProgress });
const generation: Generation = model.generate([{ role: "user", content: "Hello" }], { stopStrings: ["."] });
for await (const { id, text } of generation.tokens()) console.log(id.toFixed(), text.length);
const session: Session = await model.session({ seed: 1 });
await session.append("Once", { signal: AbortSignal.timeout(1000) });
const bytes: Uint8Array = await session.snapshot();
console.log((await model.restore(bytes)).length, (await engineInfo()).reasons.join(), ModelError.name);
console.log((await inspect(files)).plan.policy);
`;

test.each(["nodenext", "bundler"])(
  "a strict TypeScript project with module resolution %s compiles, without the types of Node or Bun",
  async (moduleResolution) => {
    const compilerOptions = {
      ...{ module: moduleResolution === "bundler" ? "preserve" : moduleResolution, moduleResolution },
      ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false },
      ...{ target: "esnext", lib: ["esnext", "dom"], types: [], noEmit: true },
    };
    const files = {
      "main.ts": PROGRAM,
      "readme.ts": readmeProgram(),
      "tsconfig.json": JSON.stringify({ compilerOptions }),
    };
    const folder = await project(`types-${moduleResolution}`, files);
    const tsc = tool("typescript/bin/tsc");
    await command(tsc, folder);
    // And it does look.
    writeFileSync(join(folder, "main.ts"), PROGRAM.replace('"bf16"', '"bf17"'));
    expect(await run(tsc, folder)).toMatchObject({ code: 1, out: expect.stringContaining("bf17") });
  },
);
