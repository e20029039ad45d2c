/** The entries that need packages of their own, which come from the registry: they answer the same in every runtime. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../platforms/command.ts";
import { ROOT } from "../setup.ts";
import { serve } from "./serve.ts";
import { emptyFolder, project } from "./tarball.ts";
import { bun, deno, node22, node24, tool } from "./tools.ts";

const {
  dependencies,
  devDependencies,
  exports: entries,
} = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Record<string, Record<string, string>>;
/** What those who use them install, in the versions that are tested here. */
const OTHERS = ["hono", "zod", "ai", "@ai-sdk/provider"].map((name) => [name, devDependencies![name] as string]);

const PROGRAM = `import { generateText } from "ai";
import { load } from "lambent";
import { createLambent } from "lambent/ai-sdk";
import { embedded } from "lambent/embedded";
import { createServer } from "lambent/server";

const model = await load(embedded, { threads: 1 });
const prompt = "Who is there?";
const { fetch } = createServer({ story: model });
const body = JSON.stringify({ messages: [{ role: "user", content: prompt }], temperature: 0, max_tokens: 12 });
const response = await fetch(new Request("http://localhost/v1/chat/completions", { method: "POST", body }));
const served: string = (await response.json()).choices[0].message.content;
const { text } = await generateText({
  model: createLambent({ story: model })("story"),
  ...{ prompt, temperature: 0, maxOutputTokens: 12 },
});
console.log(JSON.stringify([served, text]));
model.dispose();
`;

describe("lambent/server and lambent/ai-sdk, beside the packages that they need, in", () => {
  let folder: Promise<string> | undefined;
  const inProject = () => {
    const script = PROGRAM.replace("served: string", "served");
    const others = OTHERS.map(([name, version]) => `${name}@${version}`);
    folder ??= project("entries", { "main.ts": PROGRAM, "main.js": script }, undefined, others);
    return folder;
  };
  /** What was printed first. */
  let wanted: string | undefined;
  const same = (printed: string) => {
    const [served, text] = JSON.parse(printed);
    expect(served).toBe(text);
    wanted ??= text;
    expect(wanted).toBe(text);
  };

  test("Node 22 and 24", async () => {
    same(await command([node22(), "main.js"], await inProject()));
    same(await command([node24(), "main.js"], await inProject()));
  });

  test("Bun", async () => {
    same(await command([bun, "main.ts"], await inProject()));
  });

  test("Deno", async () => {
    same(await command([deno(), "run", "--allow-all", "main.ts"], await inProject()));
  });

  test("Deno, with the sources on a server, where JSR has them", async () => {
    using server = serve(ROOT);
    const jsr = JSON.parse(readFileSync(join(ROOT, "jsr.json"), "utf8"));
    expect(Object.keys(jsr.exports)).toEqual(Object.keys(entries!).filter((name) => name !== "./package.json"));
    const packages = [...Object.entries(dependencies!), ...OTHERS];
    const imports = {
      ...Object.fromEntries(
        Object.entries<string>(jsr.exports).map(([name, path]) => [
          join("lambent", name),
          new URL(path, server.url).href,
        ]),
      ),
      ...Object.fromEntries(packages.map(([name, version]) => [name, `npm:${name}@${version}`])),
    };
    const sources = emptyFolder("entries-jsr");
    writeFileSync(join(sources, "deno.json"), JSON.stringify({ imports }));
    writeFileSync(join(sources, "main.ts"), PROGRAM);
    same(await command([deno(), "run", "--allow-all", "main.ts"], sources));
  });

  test("TypeScript, strictly", async () => {
    const compilerOptions = {
      ...{ module: "nodenext", strict: true, exactOptionalPropertyTypes: true, skipLibCheck: true, noEmit: true },
      ...{ target: "esnext", lib: ["esnext", "dom"], types: [] },
    };
    const cwd = await inProject();
    writeFileSync(join(cwd, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["main.ts"] }));
    await command(tool("typescript/bin/tsc"), cwd);
  });
});
