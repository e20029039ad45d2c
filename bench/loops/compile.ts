import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";

const SOURCE = new URL("./index.ts", import.meta.url);

/** The loops over a shared memory or an unshared one, compiled once and kept in build/. */
export async function loops(shared: boolean): Promise<WebAssembly.Module> {
  const file = new URL(`../../build/bench-loops-${shared ? "shared" : "single"}.wasm`, import.meta.url);
  const age = (url: URL): number => statSync(url, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (age(file) <= age(SOURCE)) {
    mkdirSync(new URL(".", file), { recursive: true });
    writeFileSync(file, await compile(shared));
  }
  return WebAssembly.compile(readFileSync(file));
}

async function compile(shared: boolean): Promise<Uint8Array> {
  const { default: asc } = await import("assemblyscript/asc");
  let wasm: Uint8Array | undefined;
  const flags = ["-O2", "--noAssert", "--runtime", "stub", "--importMemory", "--maximumMemory", "65536"];
  const features = `simd,relaxed-simd${shared ? ",threads" : ""}`;
  const memory = shared ? ["--sharedMemory"] : [];
  const { error, stderr } = await asc.main(
    ["index.ts", ...flags, "--enable", features, ...memory, "--outFile", "out.wasm"],
    {
      // The compiler also asks for files that may exist, such as an asconfig.json.
      readFile: (name) => (name === "index.ts" ? readFileSync(SOURCE, "utf8") : null),
      writeFile(_, contents) {
        if (typeof contents !== "string") wasm = contents;
      },
      listFiles: () => [],
    },
  );
  if (error || !wasm) throw new Error(`bench/loops does not compile: ${error?.message} ${stderr}`);
  return wasm;
}
