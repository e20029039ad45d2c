/** The server in workerd, with its sessions in R2 and in a Durable Object, which outlive the isolate. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { load } from "lambent";
import { CASES } from "../../../test/store/cases.ts";
import { startBundled } from "./bundled.ts";
import { MODEL } from "./edge.ts";

const WORKER = `
  import { DurableObject } from "cloudflare:workers";
  import { filesFromBucket, load } from "lambent";
  import { createServer } from "lambent/server";
  import { durableStore, r2Store } from "lambent/stores";
  import { CASES } from "../../../test/store/cases.ts";

  export class Sessions extends DurableObject {
    store = durableStore(this.ctx.storage);
    get(key) { return this.store.get(key); }
    put(key, bytes, options) { return this.store.put(key, bytes, options); }
    delete(key) { return this.store.delete(key); }
    list(prefix) { return this.store.list(prefix); }
  }

  let model;
  export default {
    async fetch(request, { MODELS, STORIES, SESSIONS }, ctx) {
      const url = new URL(request.url);
      const [, kind, ...path] = url.pathname.split("/");
      // A stub is of the request that makes it.
      const storeOf = (kind, name) => {
        if (kind === "r2") return r2Store(STORIES, { prefix: name + "/" });
        return SESSIONS.get(SESSIONS.idFromName(name));
      };
      if (kind === "cases") {
        const [kind, number] = path;
        const stores = [storeOf(kind, number), storeOf(kind, number)];
        return Object.values(CASES)[number](stores).then(
          () => new Response("done"),
          (error) => new Response(error.stack),
        );
      }
      url.pathname = "/" + path.join("/");
      model ??= load(filesFromBucket(MODELS), { maxSessions: 2 });
      const server = createServer({ model: await model }, { store: storeOf(kind, "sessions"), maxSessions: 2 });
      const response = await server.fetch(new Request(url, request));
      ctx.waitUntil(server.drain());
      return response;
    },
  };
`;

const scratch = mkdtempSync(join(tmpdir(), "lambent-sessions-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function startEdge() {
  const edge = await startBundled(WORKER, "workerd", {
    ...{ r2Buckets: ["MODELS", "STORIES"], r2Persist: join(scratch, "r2") },
    ...{ durableObjects: { SESSIONS: "Sessions" }, durableObjectsPersist: join(scratch, "objects") },
  });
  const models = await edge.miniflare.getR2Bucket("MODELS");
  for (const file of readdirSync(MODEL)) await models.put(file, readFileSync(join(MODEL, file)));
  return edge;
}

test.each(["r2", "durable"])("a session goes on in a new isolate, from %s", async (kind) => {
  const asked = { temperature: 0, max_output_tokens: 10, stream: true };
  const ask = async (body: object) => {
    await using edge = await startEdge();
    const init = { method: "POST", body: JSON.stringify({ ...asked, ...body }) };
    const text = await (await edge.miniflare.dispatchFetch(`http://edge/${kind}/v1/responses`, init)).text();
    const [, data] = text.match(/data: (\{"type":"response\.(?:completed|incomplete)".*\})\n/) as RegExpMatchArray;
    return JSON.parse(data as string).response;
  };
  const first = await ask({ input: "Who is there?" });
  expect(first.store).toBe(true);
  const second = await ask({ input: "And then?", previous_response_id: first.id });
  expect(second.usage.input_tokens_details.cached_tokens).toBeGreaterThan(first.usage.input_tokens / 2);
  using model = await load(MODEL, { threads: 1 });
  const chat = model.chat({ temperature: 0, maxNewTokens: 10 });
  const texts = [await chat.send("Who is there?").text(), await chat.send("And then?").text()];
  expect([first, second].map(({ output }) => output[0].content[0].text)).toEqual(texts);
});

test("R2 and Durable Objects do what every store has to do", async () => {
  await using edge = await startEdge();
  const failed: string[] = [];
  for (const kind of ["r2", "durable"]) {
    for (const [i, name] of Object.keys(CASES).entries()) {
      const answer = await (await edge.miniflare.dispatchFetch(`http://edge/cases/${kind}/${i}`)).text();
      if (answer !== "done") failed.push(`${kind}: ${name}: ${answer}`);
    }
  }
  expect(failed).toEqual([]);
});
