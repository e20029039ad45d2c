/** The entry for `edge-light`, bundled as its hosts do and run by workerd, whose rules are the same: nothing is compiled. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { load } from "lambent";
import { Miniflare } from "miniflare";
import config from "../wrangler.jsonc";
import { MODEL } from "./edge.ts";

const OPTIONS = { seed: 3, maxNewTokens: 20, temperature: 0.8 };
const WORKER = `
  import { engineInfo, filesFromBucket, load } from "lambent";
  export default {
    async fetch(request, { MODELS }) {
      const model = await load(filesFromBucket(MODELS));
      const generation = model.generate("One", ${JSON.stringify(OPTIONS)});
      await generation.text();
      const { logitsHash } = await generation.result;
      return Response.json({ ...(await engineInfo()), logitsHash });
    },
  };
`;

test("edge-light computes what Bun computes", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "lambent-edge-light-"));
  const kernels: string[] = [];
  const { outputs } = await Bun.build({
    entrypoints: [new URL("worker.js", import.meta.url).pathname],
    files: { [new URL("worker.js", import.meta.url).pathname]: WORKER },
    conditions: ["edge-light"],
    plugins: [
      {
        name: "modules behind question marks",
        setup(build) {
          build.onResolve({ filter: /\.wasm\?module$/ }, ({ path, importer }) => {
            const [file] = path.split("?") as [string];
            kernels.push(join(dirname(importer), file));
            return { path: `./${basename(file)}`, external: true };
          });
        },
      },
    ],
  });
  const bundle = join(scratch, "worker.js");
  writeFileSync(bundle, (await outputs[0]?.text()) as string);
  const miniflare = new Miniflare({
    modules: [
      { type: "ESModule", path: bundle },
      ...kernels.map((path) => ({
        type: "CompiledWasm" as const,
        path: join(scratch, basename(path)),
        contents: readFileSync(path),
      })),
    ],
    modulesRoot: scratch,
    compatibilityDate: config.compatibility_date,
    r2Buckets: ["MODELS"],
    cf: false,
  });
  try {
    const models = await miniflare.getR2Bucket("MODELS");
    for (const file of readdirSync(MODEL)) await models.put(file, readFileSync(join(MODEL, file)));
    const answer = await (await miniflare.dispatchFetch("http://edge/")).json();
    const generation = (await load(MODEL, { threads: 1 })).generate("One", OPTIONS);
    await generation.text();
    const { logitsHash } = await generation.result;
    expect(answer).toMatchObject({ runtime: "edge-light", kernels: "single-relaxed", threads: 1, logitsHash });
  } finally {
    await miniflare.dispose();
    rmSync(scratch, { recursive: true });
  }
});
