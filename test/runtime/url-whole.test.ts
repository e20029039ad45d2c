/** Servers that give files whole, compressed or of unknown length; answers that break off, fall silent or lie. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { LambentError } from "../../src/base/errors.ts";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import { filesFromUrl, type UrlOptions } from "../../src/sources/url.ts";
import { FIXTURES, logitsOf, openEngine } from "../setup.ts";
import { MANNERS, type Manner, type Server, serveRaw, type Trouble } from "./raw-server.ts";
import { type DType, EMBEDDED, engineOf, FIXTURE, IDS, refusal, WEIGHTS } from "./source_setup.ts";

setDefaultTimeout(30_000);

const QUICK = { stall: 2000, probe: 2000, retries: 3, backoff: 1, patience: 20 };

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop();
});

async function serve(...given: Parameters<typeof serveRaw>): Promise<Server> {
  const server = await serveRaw(...given);
  servers.push(server);
  return server;
}

const engineAt = (url: string, dtype: DType = "auto", timing = QUICK, options: UrlOptions = {}) =>
  engineOf(filesFromUrl(url, options, timing), dtype, options.signal);

for (const dtype of ["auto", "q4"] as const) {
  test.each([...MANNERS])(`the embedded model as ${dtype}: %s`, async (manner) => {
    const disk = await openEngine(EMBEDDED, { dtype });
    const { url, requests } = await serve(EMBEDDED, manner);
    const engine = await engineAt(url, dtype);
    expect(engine.modelHash).toBe(disk.modelHash);
    expect(await logitsOf(engine, IDS)).toEqual(await logitsOf(disk, IDS));
    const asked = requests.filter(({ file }) => file === WEIGHTS).length;
    // One for each reading; one more to learn the length.
    const passes = dtype === "q4" ? 2 : 1;
    if (manner === "whole") expect(asked).toBe(passes);
    else if (manner !== "ranges") expect(asked).toBe(passes + 1);
  });
}

test("however many shards there are, three answers run at a time, and none in the end", async () => {
  const folder = join(FIXTURES, "llama-sharded");
  const open = new Set<Request>();
  let most = 0;
  const fetch = async (url: string, init: RequestInit) => {
    const path = join(folder, new URL(url).pathname);
    if (!existsSync(path)) return new Response(null, { status: 404 });
    const request = new Request(url, init);
    request.signal.addEventListener("abort", () => open.delete(request));
    open.add(request);
    most = Math.max(most, open.size);
    const bytes = new Uint8Array(readFileSync(path));
    let at = 0;
    const pull = (controller: ReadableStreamDefaultController) => {
      if (at < bytes.length) return controller.enqueue(bytes.slice(at, (at += 1000)));
      open.delete(request);
      controller.close();
    };
    const headers = { "content-length": `${bytes.length}` };
    return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }), { headers });
  };
  const engine = await engineAt("http://test/", "auto", QUICK, { fetch });
  expect(engine.modelHash).toBe((await openEngine(folder)).modelHash);
  expect({ most, left: open.size }).toEqual({ most: 3, left: 0 });
});

/** A file of `bytes` from a server without network; `breaks(time)` says after how many bytes the answer breaks off, and how. */
function fake(bytes: Uint8Array, ranges: boolean, breaks: (time: number) => [number, "error" | "end"] | undefined) {
  let time = 0;
  return async (_: string, init: RequestInit) => {
    const range = new Headers(init.headers).get("range")?.match(/^bytes=(\d+)-(\d+)$/);
    const begin = ranges && range ? Number(range[1]) : 0;
    const end = ranges && range ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length;
    const broken = breaks(time++);
    const body = bytes.slice(begin, end);
    const stream = new ReadableStream({
      start(controller) {
        const sent = broken ? body.subarray(0, broken[0]) : body;
        if (sent.length) controller.enqueue(sent);
        if (broken?.[1] === "error") controller.error(new TypeError("network error"));
        else controller.close();
      },
    });
    const part = { "content-range": `bytes ${begin}-${end - 1}/${bytes.length}` };
    const headers = ranges ? part : { "content-length": `${bytes.length}` };
    return new Response(stream, { status: ranges ? 206 : 200, headers });
  };
}

test.each([
  ["parts", true],
  ["whole files", false],
] as const)("an answer that breaks off after any byte: the same bytes, from %s", async (_, ranges) => {
  const bytes = new Uint8Array(readFileSync(join(FIXTURE, WEIGHTS))).subarray(0, 700);
  for (let cut = 0; cut <= bytes.length; cut++) {
    for (const how of ["error", "end"] as const) {
      const fetch = fake(bytes, ranges, (time) => (time < 2 ? [cut, how] : undefined));
      const source = await filesFromUrl("http://test/", { fetch }, QUICK).open("file");
      const found = new Uint8Array(bytes.length);
      for (let at = 0; at < found.length; at += 97) await source?.readInto(found.subarray(at, at + 97), at);
      if (Buffer.compare(found, bytes) !== 0) throw new Error(`cut ${cut}, ${how}`);
    }
  }
});

test("a model whose answers are cut or fall silent anywhere: the right weights, or one line", async () => {
  const right = (await openEngine(FIXTURE)).modelHash;
  const size = readFileSync(join(FIXTURE, WEIGHTS)).length;
  const trouble = fc.record({
    bytes: fc.integer({ min: 0, max: size }),
    how: fc.constantFrom("cut" as const, "cut" as const, "silence" as const),
  });
  let loaded = 0;
  let refused = 0;
  const property = fc.asyncProperty(
    fc.constantFrom<Manner>("ranges", "whole", "chunked", "gzip"),
    fc.array(trouble, { maxLength: 6 }),
    async (manner, troubles: Trouble[]) => {
      const server = await serve(FIXTURE, manner, ({ file, time }) => (file === WEIGHTS ? troubles[time] : undefined));
      const silent = troubles.some(({ how }) => how === "silence");
      const timing = { ...QUICK, stall: silent ? 40 : 5000 };
      const result = await engineAt(server.url, "auto", timing).then(
        ({ modelHash }) => modelHash,
        (error: Error) => error,
      );
      server.stop();
      if (result instanceof Error) {
        refused++;
        expect(result).toBeInstanceOf(LambentError);
        expect(result.message).toMatch(/^http[^\n]+model\.safetensors: expected [^\n]+, found [^\n]+$/);
        // Three retries at least are free; who waits for 40 ms only may give up on a busy machine.
        if (!silent) expect(troubles.length).toBeGreaterThan(3);
      } else {
        loaded++;
        expect(result).toBe(right);
      }
    },
  );
  await fc.assert(property, { numRuns: 150 });
  expect(loaded).toBeGreaterThan(50);
  expect(refused).toBeGreaterThan(0);
});

test.each([...MANNERS])(
  "a server that always breaks off or falls silent at the same place is refused: %s",
  async (manner) => {
    for (const how of ["cut", "silence"] as const) {
      if (manner === "closing" && how === "cut") continue; // indistinguishable
      const bytes = manner === "ranges" ? 0 : 30_000;
      const server = await serve(FIXTURE, manner, ({ file, time }) =>
        file === WEIGHTS && time > 0 ? { bytes, how } : undefined,
      );
      const [timing, dtype] = [{ ...QUICK, stall: 150 }, manner === "whole" ? "q4" : "auto"] as const;
      expect(await refusal(engineAt(server.url, dtype, timing))).toMatch(/: expected .*, found .*/);
    }
  },
);

test("a file that is shorter than it was, or another one, by its length or its ETag", async () => {
  for (const manner of MANNERS) {
    const shorter = await serve(FIXTURE, manner, undefined, (bytes, { file, time }) =>
      file === WEIGHTS && time > 0 ? bytes.subarray(0, bytes.length - 1) : bytes,
    );
    expect(await refusal(engineAt(shorter.url, "q4"))).toMatch(/model\.safetensors: expected .*, found .*/);
  }
  const bytes = new Uint8Array(readFileSync(join(FIXTURE, WEIGHTS)));
  let time = 0;
  const fetch = async () =>
    new Response(bytes, { headers: { etag: `"${time++}"`, "content-length": `${bytes.length}` } });
  const source = await filesFromUrl("http://test/", { fetch }, QUICK).open("file");
  await source?.readInto(new Uint8Array(10), 10);
  expect(await refusal(source?.readInto(new Uint8Array(10), 0) as Promise<void>)).toMatch(/ETag "0", found "1"$/);
});

test("other bytes in place of weights, and a page in place of files", async () => {
  const noise = await serve(FIXTURE, "whole", undefined, (bytes, { file }) =>
    file === WEIGHTS ? bytes.map((byte, i) => byte ^ (i * 31)) : bytes,
  );
  expect(await refusal(engineAt(noise.url))).toMatch(/model\.safetensors: expected a header of at most /);
  const page = async () => new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } });
  const opening = openDirectory(filesFromUrl("http://test/models", { fetch: page }, QUICK));
  expect(await refusal(opening)).toMatch(
    /^http:\/\/test\/models: expected .* that may be read, found a web page of test for every file/,
  );
});

test("an abort is heard in the middle of the weights, and nothing is asked for afterwards", async () => {
  for (const manner of MANNERS) {
    const stop = new AbortController();
    const server = await serve(FIXTURE, manner, ({ file, time }) => {
      if (file !== WEIGHTS || time === 0) return undefined;
      setTimeout(() => stop.abort(new Error("enough")), 20);
      return { bytes: 10, how: "silence" };
    });
    const loading = engineAt(server.url, "q4", QUICK, { signal: stop.signal });
    expect((await loading.catch((error) => error)).message).toBe("enough");
    const asked = server.requests.length;
    await Bun.sleep(30);
    expect(server.requests.length).toBe(asked);
  }
});

test("a browser's fetch: hidden redirects, unless there are headers for one origin only; CORS", async () => {
  const bytes = new Uint8Array(readFileSync(join(FIXTURE, "config.json")));
  const asked: string[] = [];
  const fetch = async (_: string, init: RequestInit) => {
    asked.push(init.redirect as string);
    if (init.redirect === "follow") return new Response(bytes, { headers: { "content-length": `${bytes.length}` } });
    const properties = { type: { value: "opaqueredirect" }, status: { value: 0 } };
    return Object.defineProperties(new Response(null), properties);
  };
  const source = await filesFromUrl("http://test/", { fetch }, QUICK).open("config.json");
  expect(source?.size).toBe(bytes.length);
  expect(asked).toEqual(["manual", "follow"]);
  const secret = filesFromUrl("http://test/", { fetch, headers: { "x-key": "secret" } }, QUICK).open("config.json");
  expect(await refusal(secret)).toMatch(/config\.json: expected .*headers of its own, found a redirect by test$/);
  let times = 0;
  const failing = async () => {
    times++;
    throw new TypeError("Failed to fetch");
  };
  const forbidden = filesFromUrl("http://test/", { fetch: failing }, QUICK).open("config.json");
  expect(await refusal(forbidden)).toMatch(
    /config\.json: expected an answer from test, found Failed to fetch \(.*CORS\)$/,
  );
  expect(times).toBe(2);
});

test("a browser that refuses parts, or does not show which they are: files are asked for as pages are, and stay so", async () => {
  const right = (await openEngine(FIXTURE)).modelHash;
  for (const how of ["refuses", "hides"]) {
    const ranges: boolean[] = [];
    const fetch = async (url: string, init: RequestInit) => {
      const range = new Headers(init.headers).has("range");
      ranges.push(range);
      if (range && how === "refuses") throw new TypeError("Failed to fetch");
      const path = join(FIXTURE, new URL(url).pathname);
      if (!existsSync(path)) return new Response(null, { status: 404 });
      const bytes = new Uint8Array(readFileSync(path));
      if (range) return new Response(bytes.subarray(0, 2 ** 16), { status: 206 });
      return new Response(bytes, { headers: { "content-length": `${bytes.length}` } });
    };
    expect((await engineAt("http://test/", "auto", QUICK, { fetch })).modelHash).toBe(right);
    expect(ranges).toEqual([true, ...ranges.slice(1).map(() => false)]);
  }
});

test("headers go to the server that was named, and to no other", async () => {
  const there = await serve(FIXTURE, "whole");
  const seen: (string | null)[] = [];
  const here = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      seen.push(request.headers.get("x-key"));
      return Response.redirect(there.url + new URL(request.url).pathname, 302);
    },
  });
  await (await filesFromUrl(here.url, { headers: { "x-key": "secret" } }, QUICK).open("config.json"))?.close();
  await here.stop(true);
  expect(seen).toEqual(["secret"]);
  expect(there.requests.map(({ headers }) => headers.get("x-key"))).toEqual([undefined]);
});
