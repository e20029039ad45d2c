/** A model on an HTTP server, read by ranges; servers that cannot, will not or do not finish. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LambentError } from "../../src/base/errors.ts";
import { Engine } from "../../src/engine/engine.ts";
import { inspect, load } from "../../src/entry/index.ts";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import { filesFromUrl } from "../../src/sources/url.ts";
import { FIXTURES, kernels, logitsOf, MODELS, openEngine } from "../setup.ts";

setDefaultTimeout(20_000);

const EMBEDDED = join(MODELS, "lambent-llama-5m");
const FIXTURE = join(FIXTURES, "gptj");
const WEIGHTS = "model.safetensors";
const IDS = Array.from({ length: 30 }, (_, i) => (i * 7) % 61);
/** Nothing here is worth waiting for. */
const QUICK = { stall: 2000, probe: 2000, retries: 3, backoff: 1, patience: 20 };

const servers: { stop(force?: boolean): unknown }[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

/** A request for bytes [begin, end] of a file that is there; `time` counts those for the middle of the weights. */
interface Asked {
  readonly file: string;
  readonly begin: number;
  readonly end: number;
  readonly size: number;
  readonly time: number;
}
type Bytes = Uint8Array<ArrayBuffer>;
type Answer = (asked: Asked, bytes: Bytes) => Response | undefined | Promise<Response | undefined>;

function partial({ begin, end, size }: Asked, bytes: Bytes): Response {
  return new Response(bytes, { status: 206, headers: { "content-range": `bytes ${begin}-${end}/${size}` } });
}

/** An answer that ends before its time. */
function cut(asked: Asked, bytes: Bytes, length: number): Response {
  const { headers, status } = partial(asked, bytes);
  let sent = false;
  const body = new ReadableStream({
    pull(controller) {
      if (sent) return controller.close();
      sent = true;
      controller.enqueue(bytes.subarray(0, length));
    },
  });
  return new Response(body, { headers, status });
}

/** Serves a folder by ranges, but where `answer` gives another response. Its URL, and what it was asked for. */
function serve(folder: string, answer: Answer = () => undefined): { url: string; asked: Asked[] } {
  const asked: Asked[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const file = decodeURIComponent(new URL(request.url).pathname).replace("/models/small/", "");
      if (!existsSync(join(folder, file))) return new Response("nothing here", { status: 404 });
      const whole = readFileSync(join(folder, file));
      const [, from = "", to = ""] = request.headers.get("range")?.match(/^bytes=(\d+)-(\d+)$/) ?? [];
      const time = asked.filter((one) => one.file === WEIGHTS && one.begin > 20_000).length;
      const one = { file, begin: Number(from), end: Math.min(Number(to), whole.length - 1), size: whole.length, time };
      asked.push(one);
      if (one.begin >= one.size) return new Response(null, { status: 416 });
      const bytes = new Uint8Array(whole.subarray(one.begin, one.end + 1));
      return (await answer(one, bytes)) ?? partial(one, bytes);
    },
  });
  servers.push(server);
  return { url: `http://127.0.0.1:${server.port}/models/small`, asked };
}

async function engineAt(url: string): Promise<Engine> {
  const checkpoint = await openDirectory(filesFromUrl(url, {}, QUICK));
  return Engine.load(checkpoint, await kernels());
}

/** The one line in which a server's model is refused. */
async function refusal(url: string): Promise<string> {
  const error = await engineAt(url).then(
    () => new Error("no error"),
    (reason: Error) => reason,
  );
  expect(error).toBeInstanceOf(LambentError);
  expect(error.message).toMatch(/^[^\n\r\u2028\u2029]+$/);
  return error.message;
}

test.each(["llama-sharded", "mpt-heads6", "gptj"])(
  "%s from a server has the logits that it has from disk",
  async (name) => {
    const folder = join(FIXTURES, name);
    const fromDisk = await logitsOf(await openEngine(folder), IDS);
    for (const slash of ["", "/"]) {
      const { url, asked } = serve(folder);
      expect(await logitsOf(await engineAt(url + slash), IDS)).toEqual(fromDisk);
      for (const { begin, end } of asked) expect(end).toBeGreaterThanOrEqual(begin);
    }
  },
);

test("a whole model: its text and what it says of itself; weights are read once, at most 4 MiB at a time", async () => {
  const { url, asked } = serve(EMBEDDED);
  const [there, here] = [await load(url), await load(EMBEDDED)];
  expect(there.info).toEqual({ ...here.info, model: url });
  const options = { maxNewTokens: 12, temperature: 0 };
  expect(await there.generate("It was", options).text()).toBe(await here.generate("It was", options).text());
  const weights = asked.filter(({ file }) => file === WEIGHTS);
  const read = weights.reduce((sum, { begin, end }) => sum + end - begin + 1, 0);
  expect(Math.abs(read - (weights[0] as Asked).size)).toBeLessThan(16);
  for (const { begin, end } of weights) expect(end - begin).toBeLessThan(4 * 2 ** 20);
});

test("inspect reads headers only", async () => {
  const { url, asked } = serve(EMBEDDED);
  const bytes = async (where: string) => {
    const { weightBytes, cacheBytes, memoryBytes, banks } = (await inspect(where)).plan;
    return { weightBytes, cacheBytes, memoryBytes, banks };
  };
  expect(await bytes(url)).toEqual(await bytes(EMBEDDED));
  expect(asked.reduce((sum, { begin, end }) => sum + end - begin + 1, 0)).toBeLessThan(100_000);
});

test("files that are missing: those that a model can do without, and those that it cannot", async () => {
  const without = serve(FIXTURE);
  await engineAt(without.url);
  const model = await load(without.url);
  expect(() => model.tokenizer.encode("a")).toThrow(/: expected tokenizer\.json, .*, found none/);
  model.dispose();
  const { url } = serve(join(FIXTURES, "no such folder"));
  expect(await refusal(url)).toStartWith(`${url}: expected model.safetensors`);
});

test("a server that refuses is named with its answer; what may pass is asked again, what will not is not", async () => {
  for (const [status, times] of [
    [401, 1],
    [418, 1],
    [500, 4],
    [503, 4],
  ] as const) {
    const { url, asked } = serve(FIXTURE, () => new Response("<html>\nno\n</html>", { status }));
    const host = new URL(url).host;
    expect(await refusal(url)).toBe(`${url}/config.json: expected an answer from ${host}, found HTTP ${status}`);
    expect({ status, times: asked.length }).toEqual({ status, times });
  }
});

test("a server that says nowhere how long a file is and gives the wrong part of it", async () => {
  const unknown = serve(FIXTURE, (asked, bytes) => partial({ ...asked, size: "*" as never }, bytes));
  expect(await refusal(unknown.url)).toMatch(/config\.json: expected .*length, found bytes 0-0\/\*$/);
});

const inWeights = (asked: Asked) => asked.file === WEIGHTS && asked.begin > 20_000;
const lies: [string, Answer][] = [
  ["more than was asked for", (asked, bytes) => partial(asked, new Uint8Array([...bytes, 1, 2, 3]))],
  ["other bytes", (asked, bytes) => partial({ ...asked, begin: 0, end: bytes.length - 1 }, bytes)],
  ["bytes of another file", (asked, bytes) => partial({ ...asked, size: asked.size + 1 }, bytes)],
  ["bytes that it does not name", (_, bytes) => new Response(bytes, { status: 206 })],
  ["nothing, again and again", (asked, bytes) => cut(asked, bytes, 0)],
  ["errors, again and again", () => new Response("", { status: 503 })],
];
test.each(lies)("a server that gives %s in the middle of the weights is refused", async (_, answer) => {
  const { url } = serve(FIXTURE, (asked, bytes) => (inWeights(asked) ? answer(asked, bytes) : undefined));
  expect(await refusal(url)).toStartWith(`${url}/${WEIGHTS}: expected `);
});

const passing: [string, Answer][] = [
  ["gives the whole file now and then", () => new Response(readFileSync(join(FIXTURE, WEIGHTS)))],
  [
    "breaks off now and then",
    (asked, bytes) => (bytes.length > 100 ? cut(asked, bytes, bytes.length >> 1) : undefined),
  ],
  ["is busy now and then", ({ time }) => (time % 3 < 2 ? new Response("", { status: 503 }) : undefined)],
  [
    "moves the file",
    ({ time }) => (time === 0 ? new Response("", { status: 302, headers: { location: `./${WEIGHTS}` } }) : undefined),
  ],
];
test.each(passing)("a server that %s gives the same logits", async (_, answer) => {
  let troubles = 0;
  const { url } = serve(FIXTURE, async (asked, bytes) => {
    const response = inWeights(asked) ? await answer(asked, bytes) : undefined;
    if (response) troubles++;
    return response;
  });
  expect(await logitsOf(await engineAt(url), IDS)).toEqual(await logitsOf(await openEngine(FIXTURE), IDS));
  expect(troubles).toBeGreaterThan(0);
});

test("a server that says nothing, or is not there", async () => {
  const silent = Bun.listen({ port: 0, hostname: "127.0.0.1", socket: { data() {} } });
  servers.push(silent);
  const timing = { ...QUICK, stall: 50, retries: 1 };
  const opening = openDirectory(filesFromUrl(`http://127.0.0.1:${silent.port}`, {}, timing));
  expect((await opening.catch((error) => error)).message).toMatch(/config\.json: expected bytes from .*, found none$/);
  const gone = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const url = `http://127.0.0.1:${gone.port}`;
  await gone.stop(true);
  expect(await refusal(url)).toMatch(/config\.json: expected an answer from .*, found \w+$/);
});

test("an abort is heard while a server says nothing", async () => {
  const stop = new AbortController();
  const silent = Bun.listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: { data: () => stop.abort(new Error("enough")) },
  });
  servers.push(silent);
  const loading = load(`http://127.0.0.1:${silent.port}`, { signal: stop.signal });
  expect((await loading.catch((error) => error)).message).toBe("enough");
}, 10_000);
