/** The ten lines of README.md in empty projects that the packed package is installed in: they print the same in all. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../platforms/command.ts";
import { ROOT } from "../setup.ts";
import { inChromium } from "./page.ts";
import { serve } from "./serve.ts";
import { emptyFolder, project, readmeProgram, readmeWorker } from "./tarball.ts";
import { bun, deno, node22, node24, tool } from "./tools.ts";
import { bundleWorker, inMiniflare, inWorkerd } from "./worker.ts";

describe("the README's ten lines, in an empty project of", () => {
  /** What was printed first. */
  let wanted: string | undefined;
  const same = (printed: string) => {
    wanted ??= printed.trim();
    expect(printed.trim()).toBe(wanted);
    expect(wanted).toMatch(/ length [0-9a-f]{16}$/);
  };

  test("Node 22 and 24", async () => {
    const folder = await project("node", { "main.js": readmeProgram() });
    same(await command([node22(), "main.js"], folder));
    same(await command([node24(), "main.js"], folder));
  });

  test("Bun", async () => {
    const folder = await project("bun", { "main.ts": readmeProgram() });
    same(await command([bun, "main.ts"], folder));
  });

  test("Deno", async () => {
    const folder = await project("deno", { "main.ts": readmeProgram() });
    same(await command([deno(), "run", "--allow-all", "main.ts"], folder));
  });

  test("Deno, with the sources on a server, where JSR has them", async () => {
    using server = serve(ROOT);
    const at = (path: string) => new URL(path, server.url).href;
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const imports = {
      ...{ lambent: at("src/entry/index.ts"), "lambent/embedded": at("src/entry/embedded.ts") },
      ...Object.fromEntries(Object.entries(dependencies).map(([name, version]) => [name, `npm:${name}@${version}`])),
    };
    const folder = emptyFolder("jsr");
    writeFileSync(join(folder, "deno.json"), JSON.stringify({ imports }));
    writeFileSync(join(folder, "main.ts"), readmeProgram());
    same(await command([deno(), "run", "--allow-all", "main.ts"], folder));
  });

  test("Vite: a production build, in Chromium, isolated and not", async () => {
    const page = '<!doctype html><link rel="icon" href="data:,"><script type="module" src="./main.js"></script>\n';
    const folder = await project("vite", { "index.html": page, "main.js": readmeProgram() });
    await command([...tool("vite/bin/vite.js"), "build"], folder);
    for (const isolated of [true, false]) {
      using server = serve(join(folder, "dist"), isolated);
      same(await inChromium(server.url.href));
    }
  });

  const models = (folder: string) => serve(join(folder, "node_modules/lambent/dist/models"));
  const ask = (server: ReturnType<typeof serve>) => `/?model=${server.url.href}lambent-llama-5m/`;

  test("esbuild: a bundle for Workers, in miniflare", async () => {
    const folder = await project("esbuild", { "worker.js": readmeWorker() });
    using server = models(folder);
    same(await inMiniflare(await bundleWorker(folder), ask(server)));
  });

  test("workerd alone, with what esbuild has bundled", async () => {
    const folder = await project("workerd", { "worker.js": readmeWorker() });
    using server = models(folder);
    same(await inWorkerd(await bundleWorker(folder), ask(server)));
  });
});
