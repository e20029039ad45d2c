/** Mirrors and caching proxies of the hub: what they leave out, and what they say in its place. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { currentRuntime } from "../../src/runtime/index.ts";
import "../../src/entry/index.ts";
import { gitSha1, isLfs, sha256, TOKEN } from "./hub-server.ts";
import { bytes, Setup, SHA, shard, sharded, WEIGHTS } from "./hub-setup.ts";

let s: Setup;
beforeEach(async () => {
  s = await new Setup().start();
});
afterEach(() => s.stop());

const wipe = () => rmSync(s.path(), { recursive: true, force: true });
const right = (name: string) => s.hub.repos["org/name"]!.files[name]!;
/** As a mirror has them: LFS files lie where the others do. */
const plainly = (headers: Record<string, string>, file: string, etag = ""): undefined => {
  for (const name of ["location", "x-linked-size", "x-linked-etag", "x-repo-commit"]) delete headers[name];
  headers.etag = etag || `"${isLfs(file) ? sha256(right(file)) : gitSha1(right(file))}"`;
};

test("an endpoint with a path and a slash at its end, without X-Repo-Commit or redirects", async () => {
  s.hub.prefix = "/repository/hf";
  s.hub.repos["org/name"] = sharded();
  s.hub.head = (file, headers) => plainly(headers, file);
  for (const slash of ["", "/", "//"]) {
    await s.download({ endpoint: `${s.hub.endpoint}/repository/hf${slash}` });
    for (const n of [1, 2, 3]) expect(s.read(shard(n))).toEqual(bytes(10_000 * n, n));
    expect(s.hub.seen.every(({ server }) => server === "hub")).toBe(true);
    wipe();
  }
});

test("HEAD that is not allowed: the headers of a GET that is not read", async () => {
  for (const status of [405, 501, 400]) {
    s.hub.head = (_, __, method) => (method === "HEAD" ? status : undefined);
    await s.download();
    expect(s.read(WEIGHTS)).toEqual(bytes(20_000));
    wipe();
  }
});

test("no API: the commit is that which the files name; without one, the API's answer is the error", async () => {
  for (const fault of [{ status: 404 }, { status: 403 }, { status: 405 }, { content: bytes(9) }]) {
    s.hub.faults.set("api", [fault]);
    expect(await s.download()).toBe(s.path("snapshots", SHA));
    expect(readFileSync(s.path("refs", "main"), "utf8")).toBe(SHA);
    expect(readdirSync(s.path(".no_exist", SHA))).toContain("chat_template.jinja");
    wipe();
  }
  s.hub.head = (file, headers) => plainly(headers, file);
  s.hub.faults.set("api", [{ status: 405 }]);
  expect(await s.failure()).toMatch(/^HubError: org\/name: expected an answer from .*, found HTTP 405$/);
  expect(existsSync(s.path("snapshots"))).toBe(false);
});

test("an API that lists no files: each is asked for", async () => {
  s.hub.twist = (_, answer) => ({ ...(answer as object), siblings: undefined });
  await s.download();
  expect(readdirSync(s.path("snapshots", SHA)).sort()).toEqual([
    "config.json",
    "generation_config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
});

test("a mirror that refuses what it does not have: optional files are absent, and asked for again the next time", async () => {
  s.hub.twist = (_, answer) => ({ ...(answer as object), siblings: undefined });
  const refusing = (refused: string, status: number) => {
    s.hub.head = (file) => (file === refused ? status : undefined);
  };
  for (const status of [403, 400]) {
    refusing("generation_config.json", status);
    await s.download();
    expect(readdirSync(s.path("snapshots", SHA))).not.toContain("generation_config.json");
    expect(readdirSync(s.path(".no_exist", SHA))).not.toContain("generation_config.json");
    refusing("", 0);
    await s.download();
    expect(readdirSync(s.path("snapshots", SHA))).toContain("generation_config.json");
    wipe();
  }
  for (const name of ["config.json", WEIGHTS]) {
    refusing(name, 403);
    expect(await s.failure()).toContain("none without a token (403)");
    wipe();
  }
});

const tags: [string, (bytes: Uint8Array) => string, RegExp | undefined][] = [
  ["the plain SHA-1", (b) => createHash("sha1").update(b).digest("hex"), /expected git SHA-1 /],
  ["a weak one", (b) => `W/"${sha256(b)}"`, /expected SHA-256 /],
  ["an MD5", (b) => createHash("md5").update(b).digest("hex"), undefined],
  ["one of its own", (b) => `"{SHA1{${b.length}}}"`, undefined],
  ["time and length", (b) => `"5f3a-${b.length.toString(16)}"`, undefined],
];
test.each(tags)("ETags that are %s: held against the bytes where they can be", async (_, tagOf, wrong) => {
  s.hub.head = (file, headers) => plainly(headers, file, tagOf(right(file)));
  s.hub.faults.set(WEIGHTS, [{ cut: 7000, abrupt: true }]);
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(bytes(20_000));
  expect(readdirSync(s.path("blobs")).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  wipe();
  s.hub.faults.set(
    WEIGHTS,
    Array.from({ length: 9 }, () => ({ content: bytes(20_000, 2) })),
  );
  if (wrong) expect(await s.failure()).toMatch(wrong);
  wipe();
  s.hub.faults.set(
    WEIGHTS,
    Array.from({ length: 9 }, () => ({ content: bytes(19_999) })),
  );
  expect(await s.failure()).toMatch(/model\.safetensors: expected (20000 bytes|.*SHA)/);
  expect(existsSync(s.path("snapshots", SHA, WEIGHTS))).toBe(false);
});

test("a file without ETag or length is refused; so is a page in place of files, which never gets into the cache", async () => {
  s.hub.head = (file, headers) => {
    plainly(headers, file);
    delete headers.etag;
  };
  expect(await s.failure()).toMatch(
    /config\.json: expected its size and an ETag .*, found \{"size":"\d+","etag":""\}$/,
  );
  s.hub.head = (file, headers) => {
    plainly(headers, file, '"x"');
    headers["content-type"] = "text/html";
  };
  expect(await s.failure()).toMatch(/config\.json: expected a file, found a web page of 127/);
  expect(existsSync(s.path("blobs"))).toBe(false);
});

test("redirects: relative ones are followed, those to a CDN carry no token, those without a length are followed for it", async () => {
  s.hub.repos["new/name"] = s.hub.repos["org/name"]!;
  s.hub.head = (file, headers) => {
    delete headers["x-linked-size"];
    headers.location ??= "";
    if (!isLfs(file)) delete (headers as { location?: string }).location;
    return undefined;
  };
  await s.download({ token: TOKEN });
  const seen = s.hub.seen.splice(0);
  expect(seen.some(({ server, method }) => server === "cdn" && method === "HEAD")).toBe(true);
  for (const { server, headers } of seen)
    expect(headers.authorization).toBe(server === "hub" ? `Bearer ${TOKEN}` : undefined);
  wipe();
  let moved = 0;
  s.hub.head = (file, headers) => {
    if (isLfs(file) || moved++ % 2) return undefined;
    headers.location = `../../../../new/name/resolve/${SHA}/${file}`;
    return 307;
  };
  await s.download({ token: TOKEN });
  expect(moved).toBeGreaterThan(8);
  for (const { server, headers } of s.hub.seen)
    expect(headers.authorization).toBe(server === "hub" ? `Bearer ${TOKEN}` : undefined);
});

test("a server that is silent about a file, or leads around in a circle: an error, or the abort", async () => {
  s.hub.head = (_, __, method) => (method === "HEAD" ? -1 : undefined);
  const silent = /^HubError: org\/name: \w+\.json: expected bytes from .* within 0\.05 s, found none/;
  expect(await s.failure({}, { stall: 50, retries: 1 })).toMatch(silent);
  const stop = new AbortController();
  const run = s.download({ signal: stop.signal }).catch((error) => error.message);
  while (!s.hub.seen.some(({ method }) => method === "HEAD")) await Bun.sleep(5);
  stop.abort(new Error("enough"));
  expect(await run).toBe("enough");
  for (const location of ["", "?", `/org/name/resolve/${SHA}/config.json`]) {
    s.hub.head = (_, headers) => {
      headers.location = location;
      return 302;
    };
    expect(await s.failure()).toMatch(/: expected at most 10 redirects, found more$/);
  }
  expect(existsSync(s.path("blobs"))).toBe(false);
});

test("credentials of the endpoint are sent in place of a token and never shown", async () => {
  const endpoint = s.hub.endpoint.replace("//", "//me:SECRET@");
  await s.download({ endpoint, token: TOKEN });
  const basic = `Basic ${btoa("me:SECRET")}`;
  for (const { server, headers } of s.hub.seen)
    expect(headers.authorization).toBe(server === "hub" ? basic : undefined);
  expect(await s.failure({ endpoint }, {}, "org/nothing")).toBe(
    `HubError: org/nothing: expected a model on ${s.hub.endpoint}, found none (404)`,
  );
  expect(await s.failure({ endpoint: "ftp://me:SECRET@x/?SECRET" })).not.toContain("SECRET");
});

test("a rate limit is waited for as the hub says it, however it says it", async () => {
  const end = async (headers: Record<string, string>, ms: number) => {
    wipe();
    s.hub.faults.set("api", [{ status: 429, headers }]);
    const control = new AbortController();
    const run = s.download({ signal: control.signal }, { patience: 1e6 }).then(
      () => "loaded",
      (error) => error.name,
    );
    const first = await Promise.race([run, Bun.sleep(ms).then(() => "waits")]);
    control.abort();
    await run;
    return first;
  };
  // Much less than the 55 s that are waited for, and much more than the few ms that are needed.
  expect(await end({ ratelimit: '"api";r=0;t=55' }, 1000)).toBe("waits");
  expect(await end({ "retry-after": " 55 " }, 1000)).toBe("waits");
  expect(await end({ ratelimit: '"api";r=3;t=55' }, 50_000)).toBe("loaded");
  expect(await end({ "retry-after": "soon" }, 50_000)).toBe("loaded");
});

test("what people write for a model goes the same way: through the endpoint into the cache", async () => {
  const runtime = await currentRuntime();
  process.env.HF_ENDPOINT = `${s.hub.endpoint}/`;
  process.env.HF_HUB_CACHE = s.cache;
  const { files } = s.hub.repos["org/name"]!;
  for (const name of ["config.json", "tokenizer.json", WEIGHTS]) files[`sub/${name}`] = bytes(60, 3);
  const root = s.path("snapshots", SHA);
  for (const [where, folder] of [
    ["org/name", root],
    ["org/name@main", root],
    ["hf://org/name", root],
    ["https://huggingface.co/org/name/tree/main", root],
    [`https://huggingface.co/org/name/blob/${SHA}/config.json`, root],
    [`${s.hub.endpoint}/org/name`, root],
    ["hf.co/org/name/tree/main/sub/", join(root, "sub")],
    ["hf://org/name/sub", join(root, "sub")],
  ] as const) {
    expect((await runtime.find(where, {})).name).toBe(folder);
  }
  const failure = async (where: string, options = {}) =>
    ((await runtime.find(where, options).catch((error: Error) => error)) as Error).message;
  expect(await failure("org/name@main", { revision: "v2" })).toMatch(/^revision: expected main, .*, found v2$/);
  expect(await failure("org/name", { revision: "v2" })).toMatch(
    /expected revision v2 .*; and there is no directory org\/name$/,
  );
  const none = "expected a model on http.*, found none \\(404\\)";
  expect(await failure("org/none")).toMatch(new RegExp(`^org/none: ${none}; and there is no directory org/none$`));
  expect(await failure("hf://org/none")).toMatch(new RegExp(`^org/none: ${none}$`));
  expect(await failure("org/none", { offline: true })).toMatch(/being offline, found none; and there is no directory/);
});
