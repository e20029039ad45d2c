/** Where the kernels that come with the code are, by URLs that bundlers recognise; in a CommonJS bundle they throw. */
import type { Build } from "../machine/kernels.ts";

/** The URL of each build of the kernels; a function, because in a CommonJS bundle it throws. */
export const KERNELS: Record<Build, () => URL> = {
  "shared-relaxed": () => new URL("../../build/shared-relaxed.wasm", import.meta.url),
  "shared-plain": () => new URL("../../build/shared-plain.wasm", import.meta.url),
  "single-relaxed": () => new URL("../../build/single-relaxed.wasm", import.meta.url),
  "single-plain": () => new URL("../../build/single-plain.wasm", import.meta.url),
};
