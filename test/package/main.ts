/** The package as others receive it; run by `npm run package-test`. */
import { afterAll, beforeAll, setDefaultTimeout } from "bun:test";
import { removeProjects, tarball } from "./tarball.ts";
import { installAllTools } from "./tools.ts";

setDefaultTimeout(180_000);
await installAllTools();
beforeAll(async () => void (await tarball()), 400_000);
afterAll(removeProjects);

await import("./footprint.ts");
await import("./types.ts");
await import("./projects.ts");
await import("./entries.ts");
await import("./command.ts");
await import("./executable.ts");
await import("./bundles.ts");
await import("./realms.ts");
await import("./few_rounds.ts");
