/** The worker with an engine, in Bun, Deno and Node. */

import { detectHost } from "../runtime/detect.ts";
import { parent } from "../runtime/parent.ts";
import { runEngineWorker } from "./engine_worker.ts";

runEngineWorker(detectHost(), parent);
