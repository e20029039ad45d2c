import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ROOT } from "./setup.ts";

/** The layer of every room of src, by ARCHITECTURE.md's table. */
const LAYERS: ReadonlyMap<string, number> = new Map(
  [...readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8").matchAll(/^\| (\d+) +\| `src\/(\w+)` /gm)].map(
    ([, layer, room]) => [room as string, Number(layer)],
  ),
);
/** Paths that programs outside import from a clone: each only hands on what has moved. To go with 0.2. */
const FORMER = ["src/index.ts", "src/generate.ts", "src/model/index.ts"];
/** Evaluations, over the library: what is computed, then its commands. */
const RESEARCH = ["research/eval", "research/cli"];
/** What the library may import beside itself. The command line may use more, and Node's modules anywhere. */
const LIBRARY = ["@huggingface/tokenizers"];
const COMMAND_LINE = ["commander", "@hono/node-server", "aws4fetch", "bullmq", "ioredis", "pg"];
/** What the server may, which is an entry of its own. */
const SERVER = ["hono", "zod"];
/** What the provider of the AI SDK may: the specification's types and errors. */
const AI_SDK = ["@ai-sdk/provider"];
/** The rooms that have packages of their own. */
const OWN: Readonly<Record<string, readonly string[]>> = { cli: COMMAND_LINE, server: SERVER, ai_sdk: AI_SDK };
/** What evaluations may: the plots are theirs. */
const PLOTS = ["commander", "vega", "vega-lite"];
/** The longest file that can be read in one sitting. */
const MOST_LINES = 300;

function files(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.includes("node_modules"))
    .map((file) => join(folder, file))
    .filter((file) => !FORMER.includes(file));
}

function imports(file: string): string[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [...text.matchAll(/(?:from\s+|import\(\s*)"([^"\n]+)"|^import "([^"]+)"/gm)].map(
    (match) => (match[1] ?? match[2]) as string,
  );
}

const roomOf = (file: string) => relative("src", file).split("/")[0] as string;
const layerOf = (file: string) => LAYERS.get(roomOf(file)) ?? Number.NaN;
const packageOf = (name: string) => name.match(/^(?:@[^/]+\/)?[^/]+/)?.[0] as string;
const inFolder = (file: string) => (name: string) => join(dirname(file), name);

test("every file of src is in a room of the table, and every room has files", () => {
  expect([...new Set(files("src").map(roomOf))].sort()).toEqual([...LAYERS.keys()].sort());
});

test("former paths hand on what has moved, and do nothing else", () => {
  for (const file of FORMER)
    expect(readFileSync(join(ROOT, file), "utf8")).toMatch(/^\/\*\* Former path of .*\n(?:export [^;]+;\n)+$/);
});

test("every file of src imports only from its own room or layers below", () => {
  const wrong: string[] = [];
  for (const file of files("src")) {
    for (const name of imports(file).filter((name) => name.startsWith("."))) {
      const target = inFolder(file)(name);
      const allowed = target.startsWith("src/")
        ? roomOf(file) === roomOf(target) || layerOf(target) < layerOf(file)
        : target.startsWith("build/")
          ? // Edge runtimes compile nothing: their entries import the kernels.
            /^src\/entry\/(workerd|edge_light)\.ts$/.test(file)
          : /^assembly\/(op|op_positions|layout|layout_codes|survey)\.ts$/.test(target);
      if (!allowed) wrong.push(`${file}: ${name}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("no file imports itself by way of others, types included", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" → "));
    if (done.has(file) || path.includes(file)) return;
    const targets = imports(file)
      .filter((name) => name.startsWith("."))
      .map(inFolder(file));
    for (const target of targets) if (/^(src|research)\//.test(target)) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of [...files("src"), ...files("research")]) visit(file, []);
  expect(circles).toEqual([]);
});

test("evaluations import the library, and their computing nothing of their commands", () => {
  const wrong: string[] = [];
  for (const file of files("research")) {
    const here = RESEARCH.indexOf(dirname(file));
    if (here < 0) wrong.push(`${file}: no room`);
    for (const name of imports(file)) {
      const target = join(dirname(file), name);
      const allowed = name.startsWith(".")
        ? target.startsWith("src/") ||
          target === "assembly/op.ts" ||
          RESEARCH.slice(0, here + 1).includes(dirname(target))
        : here === 1 && (name.startsWith("node:") || PLOTS.includes(name));
      if (!allowed) wrong.push(`${file}: ${name}`);
    }
  }
  expect(wrong).toEqual([]);
  const manifest = JSON.parse(readFileSync(join(ROOT, "research/package.json"), "utf8"));
  expect(Object.keys(manifest.dependencies)).toEqual(PLOTS);
});

test("the kernels import each other only", () => {
  const wrong = files("assembly").flatMap((file) =>
    imports(file)
      .filter((name) => !/^\.\/[a-z0-9_]+$/.test(name))
      .map((name) => `${file}: ${name}`),
  );
  expect(wrong).toEqual([]);
});

test("the library imports one package, command line, server and provider theirs, and Node's modules stay in runtime, sources, store and cli", () => {
  const wrong: string[] = [];
  for (const file of files("src")) {
    const room = roomOf(file);
    for (const name of imports(file).filter((name) => !name.startsWith("."))) {
      const allowed = name.startsWith("node:")
        ? ["runtime", "sources", "store", "cli"].includes(room)
        : [...LIBRARY, ...(OWN[room] ?? [])].includes(packageOf(name));
      if (!allowed) wrong.push(`${file}: ${name}`);
    }
  }
  expect(wrong).toEqual([]);
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  expect(Object.keys(manifest.dependencies)).toEqual(LIBRARY);
  expect(Object.keys(manifest.optionalDependencies)).toEqual(["commander"]);
  const peers = Object.values(OWN)
    .flat()
    .filter((name) => name !== "commander");
  expect(Object.keys(manifest.peerDependencies)).toEqual(peers.sort());
  expect(Object.values(manifest.peerDependenciesMeta)).toEqual(peers.map(() => ({ optional: true })));
});

test(`no file of src, research or assembly is longer than ${MOST_LINES} lines`, () => {
  const long = [...files("src"), ...files("research"), ...files("assembly")].filter((file) => {
    return readFileSync(join(ROOT, file), "utf8").split("\n").length - 1 > MOST_LINES;
  });
  expect(long).toEqual([]);
});
