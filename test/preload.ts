import { setDefaultTimeout } from "bun:test";
import { detectHost } from "../src/runtime/detect.ts";
import { provideRuntime } from "../src/runtime/index.ts";

provideRuntime(detectHost);

/** A hang ends in a failure; a slow machine does not. This holds for one file: `npm test` says it for all. */
setDefaultTimeout(120_000);
