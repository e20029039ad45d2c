/** Kernels that are broken on purpose: the sources in assembly/, changed in memory and compiled. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import asc from "assemblyscript/asc";
import type { KernelExports } from "../../src/machine/kernel_exports.ts";
import type { Build, Kernels } from "../../src/machine/kernels.ts";
import { ROOT } from "../setup.ts";

/** A change of one file of assembly/: the only place where `from` occurs becomes `to`. */
export interface Mutation {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Gives the barrier another patience, in milliseconds. */
export function timeoutOf(milliseconds: number): Mutation {
  return {
    file: "barrier.ts",
    from: "TIMEOUT: i64 = 10_000_000_000",
    to: `TIMEOUT: i64 = ${milliseconds}_000_000`,
  };
}

/** Compiles the kernels with these changes as the project does, but for the optimiser, which changes no bit. */
export async function compile(build: Build, mutations: readonly Mutation[]): Promise<Uint8Array<ArrayBuffer>> {
  let wasm: Uint8Array<ArrayBuffer> | undefined;
  const { error, stderr } = await asc.main(["assembly/index.ts", "--target", build, "--optimizeLevel", "0"], {
    readFile(name) {
      let text: string;
      try {
        text = readFileSync(join(ROOT, name), "utf8");
      } catch {
        return null; // the compiler asks for files that may exist
      }
      for (const { file, from, to } of mutations) {
        if (name !== `assembly/${file}`) continue;
        if (text.split(from).length !== 2) throw new Error(`${file}: expected "${from}" once`);
        text = text.replace(from, () => to);
      }
      return text;
    },
    writeFile(_, contents) {
      if (typeof contents !== "string") wasm = Uint8Array.from(contents);
    },
    listFiles: () => [],
  });
  if (error || !wasm) throw new Error(`the mutant does not compile: ${error?.message} ${stderr}`);
  return wasm;
}

/** Such kernels as an engine takes them, without the test that would refuse them, for one thread. */
export async function brokenKernels(mutations: readonly Mutation[]): Promise<Kernels> {
  const build = "single-plain";
  const module = await WebAssembly.compile(await compile(build, mutations));
  const instantiate = (memory: WebAssembly.Memory) =>
    new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelExports;
  return { build, reasons: [], shared: false, pool: undefined, instantiate };
}
