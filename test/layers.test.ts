import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ROOT } from "./setup.ts";

/** The layers of ARCHITECTURE.md, lowest first; folders in one row do not know each other. */
const LAYERS: readonly (readonly string[])[] = [
  ["errors", "dtype", "source", "math", "random", "realm", "tick", "forgotten", "version"],
  ["jinja"],
  ["formats", "tokenizer"],
  ["machine"],
  ["runtime"],
  ["model"],
  ["sampler", "processors", "cuts", "slots", "state", "engine", "score", "observe", "snapshot", "quantize"],
  ["service"],
  [
    "generate",
    "generation",
    "generation_config",
    "settings",
    "session_text",
    "turns",
    "session",
    "engine_info",
    "load_tokenizer",
    "load",
    "language_model",
    "api",
    "engine_worker",
    "wasm.d",
    "index",
    "browser",
    "workerd",
    "edge_light",
    "host_worker",
    "browser_worker",
  ],
  ["cli"],
];
/** Evaluations, over the library: what is computed, then its commands. */
const RESEARCH = ["research/eval", "research/cli"];
/** What the library may import beside itself. The command line may use one more, and Node's modules anywhere. */
const LIBRARY = ["@huggingface/tokenizers"];
const COMMAND_LINE = ["commander"];
/** What evaluations may: the plots are theirs. */
const PLOTS = ["commander", "vega", "vega-lite"];
/** The longest file that can be read in one sitting. */
const MOST_LINES = 300;

function files(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.includes("node_modules"))
    .map((file) => join(folder, file));
}

function imports(file: string): string[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  return [...text.matchAll(/(?:from\s+|import\(\s*)"([^"\n]+)"|^import "([^"]+)"/gm)].map(
    (match) => (match[1] ?? match[2]) as string,
  );
}

const roomOf = (file: string) => (relative("src", file).split("/")[0] as string).replace(/\.ts$/, "");
const layerOf = (file: string) => LAYERS.findIndex((rooms) => rooms.includes(roomOf(file)));

test("every file of src has a layer, and imports only from its own room or layers below", () => {
  const wrong: string[] = [];
  for (const file of files("src")) {
    if (layerOf(file) < 0) wrong.push(`${file}: no layer`);
    for (const name of imports(file).filter((name) => name.startsWith("."))) {
      const target = join(dirname(file), name);
      if (target.startsWith("assembly/")) {
        if (!/^assembly\/(op|layout)\.ts$/.test(target)) wrong.push(`${file}: ${name}`);
      } else if (target.startsWith("src/")) {
        const here = layerOf(file);
        const there = layerOf(target);
        const neighbours = here === there && (roomOf(file) === roomOf(target) || !target.slice(4).includes("/"));
        if (there > here || (here === there && !neighbours)) wrong.push(`${file}: ${name}`);
      } else if (target.startsWith("build/")) {
        // Edge runtimes compile nothing: their entries import the kernels.
        if (!["workerd", "edge_light"].includes(roomOf(file))) wrong.push(`${file}: ${name}`);
      } else wrong.push(`${file}: ${name}`);
    }
  }
  expect(wrong).toEqual([]);
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

test("the library imports one package, the command line one more, and Node's modules stay in runtime and cli", () => {
  const wrong: string[] = [];
  for (const file of files("src")) {
    const room = roomOf(file);
    for (const name of imports(file).filter((name) => !name.startsWith("."))) {
      const allowed = name.startsWith("node:")
        ? room === "runtime" || room === "cli"
        : [...LIBRARY, ...(room === "cli" ? COMMAND_LINE : [])].includes(name);
      if (!allowed) wrong.push(`${file}: ${name}`);
    }
  }
  expect(wrong).toEqual([]);
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  expect(Object.keys(manifest.dependencies)).toEqual(LIBRARY);
  expect(Object.keys(manifest.optionalDependencies)).toEqual(COMMAND_LINE);
});

test(`no file of src, research or assembly is longer than ${MOST_LINES} lines`, () => {
  const long = [...files("src"), ...files("research"), ...files("assembly")].filter((file) => {
    return readFileSync(join(ROOT, file), "utf8").split("\n").length - 1 > MOST_LINES;
  });
  expect(long).toEqual([]);
});
