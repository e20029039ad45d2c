/** The worker of an engine in a browser. */
import { serveEngine } from "./engine_worker.ts";
import { announce, browser } from "./runtime/browser.ts";

serveEngine(Promise.resolve(browser), {
  post: (message, transfer = []) => postMessage(message, { transfer }),
  listen: (handler) => addEventListener("message", ({ data }) => handler(data)),
});
announce();
