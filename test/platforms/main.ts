import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle } from "./bundle.ts";
import { findPlace, PLACES } from "./places.ts";
import { PlatformServer } from "./server.ts";
import { HERE, installTools } from "./tools.ts";
import { work } from "./work.ts";

await installTools();
const project = mkdtempSync(join(tmpdir(), "lambent-platforms-"));
await Bun.write(join(project, "package.json"), '{"type":"module","private":true}');
mkdirSync(join(project, "node_modules"));
const bundles = await bundle(project);
using server = new PlatformServer();
server.serve("models", join(HERE, "../../models"));
server.serve("bundle", bundles.page);
server.page(`<script type="module" src="/bundle/page.js"></script>`);
for (const name of PLACES) {
  const begun = performance.now();
  try {
    const place = await findPlace(name, project, bundles);
    console.log(place.title, JSON.stringify(await work(place, server, { program: "trial", options: 1 })));
  } catch (error) {
    console.log((error as Error).message);
  }
  console.log(performance.now() - begun);
}
