/** How servers say that a file is missing, and addresses as people have them: signed, with a password, of one file. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "../../src/entry/index.ts";
import { findOnWeb } from "../../src/runtime/web.ts";
import { fileAtUrl, filesFromUrl } from "../../src/sources/url.ts";
import { FIXTURES, MODELS, openEngine } from "../setup.ts";
import { engineOf, FIXTURE, refusal } from "./source_setup.ts";

setDefaultTimeout(20_000);

const EMBEDDED = join(MODELS, "lambent-llama-5m");
const SHARDED = join(FIXTURES, "llama-sharded");
const QUICK = { stall: 2000, probe: 2000, retries: 1, backoff: 1, patience: 20 };
const HTML = { "content-type": "text/html; charset=utf-8" };
const PAGE = "\ufeff \n<!-- app --><!DOCTYPE html><html><body>one page for everything</body></html>";
const XML = (code: string, message: string) =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message><HostId>a/expired/signature</HostId></Error>`;

const servers: { stop(force?: boolean): unknown }[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

type Reply = (request: Request, file: string) => Response | undefined | Promise<Response | undefined>;

/** Serves a folder under any path, but where `reply` says something else; missing files as `missing` says. */
function serve(folder: string, missing: Reply, reply: Reply = () => undefined): { url: string; asked: string[] } {
  const asked: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      asked.push(pathname + search);
      const file = decodeURIComponent(pathname).split("/").at(-1) as string;
      const own = await reply(request, file);
      if (own) return own;
      const path = join(folder, file);
      if (file === "" || !existsSync(path)) return (await missing(request, file)) as Response;
      return new Response(readFileSync(path));
    },
  });
  servers.push(server);
  return { url: `http://127.0.0.1:${server.port}/bucket/model`, asked };
}

const files = (url: string | URL) => filesFromUrl(url, {}, QUICK);
const answer =
  (status: number, body: string | null = null, headers = {}) =>
  () =>
    new Response(body, { status, headers });

const habits: [string, Reply][] = [
  ["404", answer(404)],
  ["404 with a page", answer(404, PAGE, HTML)],
  ["410", answer(410)],
  ["204", answer(204)],
  ["403, as stores do that may not list", answer(403, XML("AccessDenied", "Access Denied"))],
  ["400 with a 404 inside", answer(400, '{"statusCode":"404","error":"not_found"}')],
  ["its one page", answer(200, PAGE, HTML)],
  ["its one page, as text", answer(200, "<!doctype html><p>", { "content-type": "text/plain" })],
  ["its one page, as no type", answer(200, "  <HTML>", { "content-type": "" })],
  [
    "a redirect to its log-in",
    (request) => {
      if (request.url.includes("login")) return new Response(PAGE, { headers: HTML });
      return Response.redirect(`${new URL(request.url).origin}/login?back=1`, 302);
    },
  ],
];
for (const [name, missing] of habits) {
  test(`a server that answers ${name} for what is missing: a model without optional files, one of shards`, async () => {
    const model = await load(serve(EMBEDDED, missing).url, { threads: 1 });
    expect(await model.generate("It was", { temperature: 0, maxNewTokens: 3 }).text()).toBeTruthy();
    model.dispose();
    const shards = serve(SHARDED, missing);
    expect((await engineOf(files(shards.url))).modelHash).toBe((await openEngine(SHARDED)).modelHash);
  });
}

test("files that there must be: what the server said, and both things that it can mean", async () => {
  const hides = (name: RegExp, reply: Reply, folder = FIXTURE) =>
    serve(folder, answer(404), (request, file) => (name.test(file) ? reply(request, file) : undefined)).url;
  const both = "there is none, or no access to it";
  const config = hides(/^config/, answer(403));
  expect(await refusal(engineOf(files(config)))).toBe(
    `${config}/config.json: expected the file, found HTTP 403: ${both}`,
  );
  const weights = hides(/^model/, answer(403));
  expect(await refusal(engineOf(files(weights)))).toBe(
    `${weights}/model.safetensors.index.json: expected the file, found HTTP 403: ${both}`,
  );
  const single = hides(/^model.safetensors$/, answer(400));
  expect(await refusal(engineOf(files(single)))).toBe(
    `${single}/model.safetensors: expected the file, found HTTP 400: ${both}`,
  );
  const shard = hides(/-00002-of/, answer(200, PAGE, HTML), SHARDED);
  expect(await refusal(engineOf(files(shard)))).toMatch(
    /model-00002-of-\d+\.safetensors: expected the file, found a web page of 127\.0\.0\.1:\d+: there is none/,
  );
  // One that says where there is nothing, and refuses one file.
  const nothing = serve(
    join(FIXTURES, "none"),
    (_, file) => new Response("", { status: file === "config.json" ? 403 : 404 }),
  );
  expect(await refusal(engineOf(files(nothing.url)))).toContain(both);
});

test("everything refused is a matter of access, not of one file", async () => {
  const nowhere = join(FIXTURES, "none");
  for (const [reply, found] of [
    [answer(403), "HTTP 403"],
    [answer(200, PAGE, HTML), "a web page of "],
  ] as const) {
    const { url } = serve(nowhere, reply);
    expect(await refusal(engineOf(files(url)))).toMatch(
      new RegExp(
        `^${url}: expected a directory of files that may be read, found ${found}.* for every file: no access \\(check`,
      ),
    );
  }
});

test("a signature that is over is no missing file", async () => {
  for (const body of [
    XML("AccessDenied", "Request has expired"),
    XML("SignatureDoesNotMatch", "The request signature does not match"),
    XML("AuthenticationFailed", "Signature not valid in the specified time frame"),
  ]) {
    const { url } = serve(EMBEDDED, answer(403, body));
    expect(await refusal(load(url))).toMatch(/\/[\w.]+: expected an answer .*, found HTTP 403: the signature/);
  }
});

test("files that a server calls pages are files: by what they begin with", async () => {
  const template = "<s>{% for message in messages %}{{ message.content }}{% endfor %}";
  const { url } = serve(EMBEDDED, answer(404), (_, file) => {
    if (file === "chat_template.jinja") return new Response(template, { headers: HTML });
    const path = join(EMBEDDED, file);
    return existsSync(path) ? new Response(readFileSync(path), { headers: HTML }) : undefined;
  });
  const source = await files(url).open("chat_template.jinja");
  const bytes = new Uint8Array(source?.size as number);
  await source?.readInto(bytes, 0);
  expect(new TextDecoder().decode(bytes)).toBe(template);
  expect((await engineOf(files(url))).modelHash).toBe((await openEngine(EMBEDDED)).modelHash);
});

test("a query goes along to every file, and is in no error; nor are a password and what a redirect says", async () => {
  const secret = "X-Amz-Signature=SECRET&sig=a%2Fb%3D";
  const { url, asked } = serve(FIXTURE, answer(404));
  await engineOf(files(`${url}?${secret}#part`));
  expect(asked.length).toBeGreaterThan(2);
  for (const one of asked) expect(one).toEndWith(`?${secret}`);
  const replies: Reply[] = [
    answer(403),
    answer(401),
    answer(500),
    answer(200, "{"),
    answer(200, "{}"),
    answer(302, null, { location: "?SECRET" }),
    answer(302, null, { location: "ftp://u:SECRET@x/?SECRET" }),
    answer(206, "x", { "content-range": "bytes 5-5/9" }),
  ];
  for (const reply of replies) {
    const bad = serve(FIXTURE, reply, reply).url;
    const text = await refusal(engineOf(files(`${bad.replace("//", "//user:SECRET@")}/?sig=SECRET`)));
    expect(text).toStartWith(`${bad}/`);
    expect(text).not.toContain("SECRET");
  }
  const model = await load(`${serve(EMBEDDED, answer(404)).url}?${secret}`, { threads: 1 });
  expect(model.info.model).toEndWith("/bucket/model");
  model.dispose();
  const gone = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const port = gone.port;
  await gone.stop(true);
  expect(await refusal(engineOf(files(`http://u:SECRET@127.0.0.1:${port}/?SECRET`)))).not.toContain("SECRET");
  const leaky = async (asked: string) => {
    throw new TypeError(`no way to ${asked}, sorry`);
  };
  const leaking = filesFromUrl("http://test/m?sig=SECRET", { fetch: leaky }, QUICK).open("config.json");
  expect(await refusal(leaking)).toMatch(/found no way to http:\/\/test\/m\/config\.json /);
  expect(await refusal(filesFromUrl("http://test/m?sig=SECRET", { fetch: leaky }, QUICK).open("x"))).not.toContain(
    "SECRET",
  );
});

test("credentials in the address become a header, for that server alone, also after a redirect", async () => {
  const seen: (string | null)[] = [];
  const note = (request: Request) => void seen.push(request.headers.get("authorization"));
  const there = serve(FIXTURE, answer(404), note);
  const here = serve(FIXTURE, answer(404), (request, file) => {
    note(request);
    const moved = new URL(request.url).pathname.replace("bucket", "moved");
    if (request.url.includes("bucket")) return Response.redirect(new URL(moved, request.url).href, 307);
    return file === "config.json" ? undefined : Response.redirect(`${there.url}/${file}`, 302);
  });
  const name = here.url;
  const model = files(name.replace("//", "//%C3%BC%40:p%3Aw@"));
  expect(model.name).toBe(name);
  await engineOf(model);
  const basic = `Basic ${Buffer.from("ü@:p:w").toString("base64")}`;
  expect(new Set(seen)).toEqual(new Set([basic, null]));
  expect(seen.slice(0, 2)).toEqual([basic, basic]);
  expect(seen.filter((one) => one === null).length).toBe(there.asked.length);
});

test("an address of one of the files, with and without a slash, in any spelling", async () => {
  const { modelHash } = await openEngine(FIXTURE);
  const { url, asked } = serve(FIXTURE, answer(404));
  for (const end of [
    "",
    "/",
    "/config.json",
    "/model.safetensors?a=b",
    "/%C3%BC%20x/",
    "/ü x",
    "/a%2Fb",
    "/a%2Fb%2F",
  ]) {
    expect((await engineOf(files(url + end))).modelHash).toBe(modelHash);
  }
  expect((await engineOf(files(new URL(`${url}/tokenizer.json`)))).modelHash).toBe(modelHash);
  expect(new Set(asked)).toContain("/bucket/model/%C3%BC%20x/config.json");
  expect(new Set(asked)).toContain("/bucket/model/a%2Fb%2Fconfig.json");
  for (const wrong of ["ftp://x/y", "s3://bucket/key", "C:\\models", "models/x", "", "http://"])
    expect(() => filesFromUrl(wrong)).toThrow(/^url: expected an http or https address, found /);
  expect(() => filesFromUrl(`${url}/model.onnx?x`)).toThrow(/found http.*model\.onnx \(weights in another format\)$/);
  expect(files(`${url}/a%20b.gguf?x`)).toMatchObject({ name: `${url}/`, file: "a b.gguf" });
});

test("weak ETags are those that they were, and one file by its whole address keeps its own query", async () => {
  const bytes = new Uint8Array(100).fill(7);
  let time = 0;
  const fetch = async (_: string, init: RequestInit) => {
    const [, from, to] = new Headers(init.headers).get("range")?.match(/(\d+)-(\d+)/) ?? [];
    const end = Math.min(Number(to), 99);
    const etag = time++ % 2 ? 'W/"a"' : '"a"';
    const headers = { etag, "content-range": `bytes ${from}-${end}/100` };
    return new Response(bytes.subarray(Number(from), end + 1), { status: 206, headers });
  };
  const source = await filesFromUrl("http://test/", { fetch }, QUICK).open("file");
  for (const at of [50, 0, 80]) await source?.readInto(new Uint8Array(10), at);
  expect(time).toBeGreaterThan(2);
  const { url, asked } = serve(FIXTURE, answer(404));
  await (await filesFromUrl(url, {}, QUICK).open("parts/model.safetensors"))?.close();
  expect(asked.splice(0)).toEqual(["/bucket/model/parts/model.safetensors"]);
  await (await fileAtUrl(new URL(`${url}/config.json?v=3`)))?.close();
  expect(await fileAtUrl(new URL(`${url}/none.json?v=3`))).toBeUndefined();
  expect(asked).toEqual(["/bucket/model/config.json?v=3", "/bucket/model/none.json?v=3"]);
});

test("hosts without files: ids and pages of the hub are read from it, other words are refused", async () => {
  const hub = "https://huggingface.co/org/name/resolve";
  for (const [where, name] of [
    ["org/name", `${hub}/main/`],
    ["org/name@v1", `${hub}/v1/`],
    ["https://huggingface.co/org/name/tree/refs%2Fpr%2F1/a b", `${hub}/refs%2Fpr%2F1/a%20b`],
    ["https://example.com/x?sig=SECRET", "https://example.com/x"],
  ] as const) {
    expect((await findOnWeb(where, {})).name).toBe(name);
  }
  for (const where of ["model.gguf", "./x", "a/b/c", "C:\\x", "~/x"])
    expect(await refusal(findOnWeb(where, {}))).toMatch(/^model: expected /);
  expect(await refusal(findOnWeb("org/name@v1", { revision: "v2" }))).toMatch(/^revision: expected v1, /);
});

test("answers of no bytes again and again are silence", async () => {
  const pull = (controller: ReadableStreamDefaultController) => controller.enqueue(new Uint8Array(0));
  const body = () => new ReadableStream({ pull }, { highWaterMark: 0 });
  const fetch = async () => new Response(body(), { headers: { "content-length": "10" } });
  const open = (signal?: AbortSignal) =>
    filesFromUrl("http://test/", { fetch, signal }, { ...QUICK, stall: signal ? 1e6 : 50 }).open("file");
  expect(await refusal(open())).toMatch(/file: expected bytes from test within 0\.05 s, found none$/);
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error("enough")), 20);
  expect((await open(stop.signal).catch((error) => error)).message).toBe("enough");
});
