/** One thread of a step: the kernels over a memory that others share, run when told to. */
import type { KernelExports } from "../../src/machine/kernel_exports.ts";

export type Message =
  | { readonly bytes: Uint8Array<ArrayBuffer>; readonly memory: WebAssembly.Memory }
  | { readonly run: readonly [program: number, step: number, control: number, thread: number, threads: number] };

let kernels: KernelExports | undefined;

self.onmessage = async ({ data }: MessageEvent<Message>) => {
  if ("memory" in data) {
    const { instance } = await WebAssembly.instantiate(data.bytes, { env: { memory: data.memory } });
    kernels = instance.exports as unknown as KernelExports;
    postMessage(-1);
  } else {
    postMessage((kernels as KernelExports).run(...data.run));
  }
};
