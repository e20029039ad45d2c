import type { Thread } from "../machine/pool.ts";
import { codeAt } from "./beside.ts";
import { host } from "./host.ts";
import { engineThread, thread } from "./node.ts";
import type { EngineThread } from "./types.ts";

/** Deno. Its Web Workers have no event for their end, those of node:worker_threads do. */
export const deno = host({
  name: `deno ${(globalThis as unknown as { Deno: { version: { deno: string } } }).Deno.version.deno}`,
  startThread: () => punctual(thread(codeAt("../runtime/deno_thread.ts"))),
  startEngine: engineThread,
});

/**
 * A thread that is sent nothing before it announces itself: that takes a second in an engine's worker (Deno waits twice
 * 0.5 s for debuggers of nested workers), and memories in messages that are never received are never freed.
 */
function punctual({ post, listen, terminate, ended }: EngineThread): Thread {
  const waiting: unknown[] = [];
  let there = false;
  listen(() => {
    there = true;
    for (const message of waiting.splice(0)) post(message);
  });
  post("");
  return {
    post: (message) => void (there ? post(message) : waiting.push(message)),
    terminate,
    ended,
  };
}
