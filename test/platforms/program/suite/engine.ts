import { engineInfo } from "lambent";
import { type Case, expect, type Setting } from "./case.ts";

/** What is chosen here when nothing is asked for beside threads. */
export function engine({ threads }: Setting): Case[] {
  return [
    {
      name: "engine: relaxed SIMD, and threads where there are any",
      async run() {
        const info = await engineInfo({ threads: 2 });
        expect("kernels", `${threads === 2 ? "shared" : "single"}-relaxed`, info.kernels);
        expect("threads", threads, info.threads);
      },
    },
    {
      name: "engine: plain SIMD when asked for",
      async run() {
        const info = await engineInfo({ threads: 1, simd: "plain" });
        expect("kernels and threads", ["single-plain", 1], [info.kernels, info.threads]);
      },
    },
  ];
}
