/** The entry for Vercel's edge runtime (condition `edge-light`), which imports modules with `?module`. */
import plain from "../../build/single-plain.wasm?module";
import relaxed from "../../build/single-relaxed.wasm?module";
import { provideRuntime } from "../runtime/index.ts";
import { edge } from "../runtime/workerd.ts";

provideRuntime(async () => edge("edge-light", { "single-relaxed": relaxed, "single-plain": plain }));

export * from "./api.ts";
