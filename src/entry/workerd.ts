/** The entry for workerd (conditions `workerd` and `worker`): kernels are imported, because nothing can be compiled. */
import plain from "../../build/single-plain.wasm";
import relaxed from "../../build/single-relaxed.wasm";
import { provideRuntime } from "../runtime/index.ts";
import { edge } from "../runtime/workerd.ts";

provideRuntime(async () => edge("workerd", { "single-relaxed": relaxed, "single-plain": plain }));

export * from "./api.ts";
