/** The entry for `edge-light`, bundled as its hosts do and run by workerd, whose rules are the same: nothing is compiled. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "lambent";
import { startBundled } from "./bundled.ts";
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
  await using edge = await startBundled(WORKER, "edge-light");
  const models = await edge.miniflare.getR2Bucket("MODELS");
  for (const file of readdirSync(MODEL)) await models.put(file, readFileSync(join(MODEL, file)));
  const answer = await (await edge.miniflare.dispatchFetch("http://edge/")).json();
  const generation = (await load(MODEL, { threads: 1 })).generate("One", OPTIONS);
  await generation.text();
  const { logitsHash } = await generation.result;
  expect(answer).toMatchObject({ runtime: "edge-light", kernels: "single-relaxed", threads: 1, logitsHash });
});
