/**
 * What an isolate says of a model that is too large for it: Gemma 3 270M, from a server. The file is in the folder that
 * LAMBENT_MODELS names, see test/real.
 */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "lambent";
import { startBundled } from "./bundled.ts";

const NAME = "gemma-3-270m-q4_k_m.gguf";
const file = join(process.env.LAMBENT_MODELS ?? "", NAME);
const there = process.env.LAMBENT_MODELS !== undefined && existsSync(file);
if (!there) console.warn(`skipped: ${NAME} is not in the folder LAMBENT_MODELS`);

const WORKER = `
  import { load } from "lambent";
  export default {
    async fetch(request) {
      try {
        const [url, options] = await request.json();
        await load(url, options);
        return new Response("loaded");
      } catch (error) {
        return new Response(error.name + ": " + error.message);
      }
    },
  };
`;

/** The file, or the bytes of it that are wanted. */
function serveRange({ headers }: Request): Response {
  const whole = Bun.file(file);
  const [, from, to] = headers.get("range")?.match(/^bytes=(\d+)-(\d*)$/) ?? [];
  if (from === undefined) return new Response(whole);
  const end = to ? Math.min(Number(to) + 1, whole.size) : whole.size;
  const range = `bytes ${from}-${end - 1}/${whole.size}`;
  return new Response(whole.slice(Number(from), end), { status: 206, headers: { "content-range": range } });
}

test.skipIf(!there)("Gemma 3 270M is refused with the memory it needs and the memory there is", async () => {
  await using edge = await startBundled(WORKER, "workerd");
  await using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: serveRange });
  const url = `http://127.0.0.1:${server.port}/${NAME}`;
  const common = { maxSessions: 1, chunkSize: 16 };
  const needed: number[] = [];
  for (const options of [{}, common, { ...common, nLocal: 512 }, { ...common, nLocal: 64 }]) {
    const body = JSON.stringify([url, options]);
    const said = await (await edge.miniflare.dispatchFetch("http://edge/", { method: "POST", body })).text();
    console.log(`      ${JSON.stringify(options)}: ${said}`);
    const { memoryBytes } = (await inspect(file, { ...options, threads: 1 })).plan;
    expect(said).toBe(`LambentError: memory: expected ${memoryBytes} bytes available, found ${128 * 2 ** 20}`);
    needed.push(memoryBytes);
  }
  expect(needed).toEqual([...new Set(needed)].sort((a, b) => b - a));
});
