/** The entry for browsers (condition `browser`). */
import { provideRuntime } from "../runtime/index.ts";
import { page } from "../runtime/page.ts";

provideRuntime(async () => page);

export * from "./api.ts";
