import { browser, thread } from "./browser.ts";
import type { Runtime } from "./types.ts";

/** A page. Engines are in workers: nothing may wait in the thread that draws. */
export const page: Runtime = {
  ...browser,
  startEngine: () => thread(new Worker(new URL("../entry/browser_worker.ts", import.meta.url), { type: "module" })),
  worker: true,
  restless: true,
};
