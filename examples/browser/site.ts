/** The page as files: everything that a browser needs, ready for any static server. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = join(HERE, "../..");
const MODEL = "models/lambent-llama-5m";
const MODEL_FILES = [
  "config.json",
  "generation_config.json",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
];

/** Headers that let a page have shared memory, and so threads. */
export const ISOLATION = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

/** Path (such as `page.js`) to content. `isolated` is part of the version, because cached files keep their headers. */
export async function buildSite(isolated: boolean): Promise<Map<string, Uint8Array>> {
  const site = new Map<string, Uint8Array>();
  for (const file of ["index.html", "novel.html", "page.css"]) site.set(file, await bytesOf(join(HERE, file)));
  for (const file of MODEL_FILES) site.set(`${MODEL}/${file}`, await bytesOf(join(ROOT, MODEL, file)));
  const code = await bundlePages(["page.ts", "novel.ts"].map((name) => join(HERE, name)));
  for (const [name, bytes] of code) site.set(name, bytes);
  const version = hashOf(site, isolated);
  const define = { FILES: JSON.stringify([...site.keys()]), VERSION: JSON.stringify(version) };
  for (const [name, text] of await bundle([join(HERE, "offline_worker.ts")], define)) site.set(name, encode(text));
  return site;
}

/** The scripts of pages that import the library's sources, with its workers and kernels beside them. */
export async function bundlePages(pages: readonly string[]): Promise<Map<string, Uint8Array>> {
  const code = new Map<string, Uint8Array>();
  for (const file of await readdir(join(ROOT, "build"))) {
    if (/^(shared|single)-/.test(file)) code.set(file, await bytesOf(join(ROOT, "build", file)));
  }
  // Workers are separate entry points; code shared with the page is in chunks.
  const workers = ["entry/browser_worker", "runtime/browser_thread"].map((name) => `${ROOT}/src/${name}.ts`);
  for (const [name, text] of await bundle([...pages, ...workers])) code.set(name, encode(flat(text)));
  return code;
}

async function bundle(entrypoints: string[], define: Record<string, string> = {}): Promise<[string, string][]> {
  const { outputs } = await Bun.build({
    ...{ entrypoints, define, target: "browser", format: "esm", splitting: true, minify: true },
    naming: { entry: "[name].js", chunk: "chunk-[hash].js" },
  });
  return Promise.all(
    outputs.map(async (output): Promise<[string, string]> => [output.path.replace("./", ""), await output.text()]),
  );
}

/** Workers and kernels are beside the code here, under their names in the sources. */
function flat(code: string): string {
  return code.replace(/new URL\("[./a-z]*\/([\w-]+)\.(ts|wasm)",import\.meta\.url\)/g, (_, name, kind) => {
    return `new URL("./${name}.${kind === "ts" ? "js" : kind}",import.meta.url)`;
  });
}

function hashOf(site: ReadonlyMap<string, Uint8Array>, isolated: boolean): string {
  const hasher = new Bun.CryptoHasher("sha256");
  hasher.update(`${isolated}`);
  for (const [name, bytes] of site) hasher.update(`\n${name} ${bytes.length}\n`).update(bytes);
  return hasher.digest("hex").slice(0, 16);
}

const encode = (text: string) => new TextEncoder().encode(text);
const bytesOf = (path: string) => Bun.file(path).bytes();
