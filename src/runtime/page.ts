import { browser, thread } from "./browser.ts";
import type { Runtime } from "./types.ts";

/** A page. Engines are in workers, because the thread that draws may not block. */
export const page: Runtime = {
  ...browser,
  startEngine: () => thread(new Worker(new URL("../entry/browser_worker.ts", import.meta.url), { type: "module" })),
  worker: true,
  restless: true,
};
