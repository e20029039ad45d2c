/**
 * Tests of kernels that were changed on purpose, which must be compiled first: broken ones that must be found out, and some
 * whose barrier has another patience or whose threads do not come back. Run by `npm run mutants`.
 */
import { setDefaultTimeout } from "bun:test";

setDefaultTimeout(120_000);

await import("./selftest.ts");
await import("./keys.ts");
await import("./barrier.ts");
await import("./pool.ts");
