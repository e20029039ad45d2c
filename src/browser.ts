/** The entry for browsers (condition `browser`). */
import { browser } from "./runtime/browser.ts";
import { provideRuntime } from "./runtime/index.ts";

provideRuntime(async () => browser);

export * from "./api.ts";
