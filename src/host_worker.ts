/** The worker of an engine in Bun, Deno and Node. */
import { runEngineWorker } from "./engine_worker.ts";
import { detectHost } from "./runtime/detect.ts";
import { parent } from "./runtime/parent.ts";

runEngineWorker(detectHost(), parent);
