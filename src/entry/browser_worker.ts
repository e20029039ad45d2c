/** The worker with an engine, in a browser. */

import { announce } from "../runtime/announce.ts";
import { browser } from "../runtime/browser.ts";
import { runEngineWorker } from "./engine_worker.ts";

runEngineWorker(Promise.resolve(browser), {
  post: (message, transfer = []) => postMessage(message, { transfer }),
  listen: (handler) => addEventListener("message", ({ data }) => handler(data)),
});
announce();
