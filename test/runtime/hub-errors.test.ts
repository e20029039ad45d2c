/** What is said when a model cannot be had, and whom the token is shown to. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { diskError } from "../../src/sources/hub_options.ts";
import { isModelId } from "../../src/sources/model_id.ts";
import { TOKEN } from "./hub-server.ts";
import { bytes, INDEX, Setup, SHA, shard, sharded, small, WEIGHTS } from "./hub-setup.ts";

let s: Setup;
beforeEach(async () => {
  s = await new Setup().start();
});
afterEach(() => s.stop());

test("no such model, revision or file", async () => {
  const { endpoint } = s.hub;
  const none = `HubError: org/nothing: expected a model on ${endpoint}, found none (404)`;
  expect(await s.failure({}, {}, "org/nothing")).toBe(none);
  const revision = `HubError: org/name: expected revision v2 on ${endpoint}, found none (404)`;
  expect(await s.failure({ revision: "v2" })).toBe(revision);
  // Nor is a revision that the hub denies taken from the cache.
  await s.download();
  writeFileSync(s.path("refs", "v2"), SHA);
  expect(await s.failure({ revision: "v2" })).toBe(revision);
  rmSync(s.path(), { recursive: true });
  s.hub.faults.set("config.json", [{ status: 404 }]);
  expect(await s.failure()).toMatch(/^HubError: config.json: expected an answer from .*, found HTTP 404$/);
  delete s.hub.repos["org/name"]!.files["config.json"];
  expect(await s.failure()).toBe("ModelError: org/name: expected config.json, found none");
});

test("gated and private models ask for a token, and open with it", async () => {
  const repo = s.hub.repos["org/name"]!;
  repo.closed = { status: 401, code: "GatedRepo" };
  expect(await s.failure()).toMatch(/found a gated one \(401\): accept its terms at .*\/org\/name and set HF_TOKEN$/);
  repo.closed = { status: 401, code: "RepoNotFound" };
  expect(await s.failure()).toMatch(/found none without a token \(401\): .* private or gated.* set HF_TOKEN$/);
  repo.closed = { status: 403, code: "" };
  expect(await s.failure({ token: "hf_other" })).toMatch(/none for this token \(403\): .* check HF_TOKEN$/);
  await s.download({ token: TOKEN });
  expect(s.read(WEIGHTS)).toEqual(bytes(20_000));
});

test("the token goes to the hub alone, from the option, the environment or the file", async () => {
  s.hub.repos["org/name"]!.closed = { status: 401, code: "GatedRepo" };
  const sources: [Record<string, string>, string?][] = [
    [{}, TOKEN],
    [{ HF_TOKEN: ` ${TOKEN}\n` }],
    [{ HF_TOKEN_PATH: join(s.cache, "elsewhere") }],
    [{}],
  ];
  writeFileSync(join(s.cache, "elsewhere"), `${TOKEN}\n`);
  for (const [env, token] of sources) {
    if (!token && Object.keys(env).length === 0) writeFileSync(join(s.cache, "token"), TOKEN);
    Object.assign(process.env, env);
    await s.download(token ? { token } : {});
    for (const { server, headers } of s.hub.seen) {
      expect(headers.authorization).toBe(server === "hub" ? `Bearer ${TOKEN}` : undefined);
    }
    for (const name of Object.keys(env)) delete process.env[name];
    rmSync(s.path(), { recursive: true });
  }
  expect(await s.failure({ token: "" })).toContain("401");
  expect(await s.failure({ token: "hf_\u0000x" })).toBe(
    "OptionError: token: expected printable ASCII, found other characters",
  );
});

test("a repository without safetensors", async () => {
  delete s.hub.repos["org/name"]!.files[WEIGHTS];
  delete s.hub.repos["org/name"]!.files["consolidated.safetensors"];
  const expected = `ModelError: org/name: expected ${WEIGHTS} or ${INDEX}, found pytorch_model.bin`;
  expect(await s.failure()).toBe(expected);
});

test("odd ids and revisions, before any request", async () => {
  const ids = ["", "../x", "a/b/c", "a/", "/a", "a/..", ".a/b", "a--b/c", "a/b.git", "a b", "a/b\n", "a\\b", "a%2fb"];
  for (const id of [...ids, "é/b", "x".repeat(97), "http://a/b"]) {
    expect(isModelId(id)).toBe(false);
    expect(await s.failure({}, {}, id)).toStartWith("OptionError: model id: expected ");
  }
  for (const id of ["gpt2", "org/name", "a.b/c_d-e", "x".repeat(96), "HuggingFaceTB/SmolLM2-135M"]) {
    expect(isModelId(id)).toBe(true);
  }
  for (const revision of ["", "..", "../../x", "/etc", "a//b", "a/../b", "a b", "x\n", "a\\b", "-/.lock"]) {
    expect(await s.failure({ revision })).toStartWith("OptionError: revision: expected ");
  }
  for (const endpoint of ["ftp://x", "nothing", "file:///tmp"]) {
    expect(await s.failure({ endpoint })).toStartWith("OptionError: endpoint: expected ");
  }
  expect(s.hub.seen).toEqual([]);
});

test("names that lead out of the snapshot", async () => {
  for (const name of [
    "../../../evil.safetensors",
    "/evil.safetensors",
    "a\\b.safetensors",
    "x/../y.safetensors",
    "x//y.safetensors",
    "./x.safetensors",
    "w.bin",
  ]) {
    s.hub.repos["org/name"] = sharded({ a: shard(1), b: name });
    expect(await s.failure()).toStartWith(`ModelError: org/name: ${INDEX}: expected names of .safetensors files`);
    rmSync(s.path(), { recursive: true });
  }
  s.hub.repos["org/name"] = small();
  s.hub.twist = (path, answer) => (path.includes("revision") ? { ...(answer as object), sha: "../evil" } : answer);
  s.hub.head = (_, headers) => void delete headers["x-repo-commit"];
  expect(await s.failure()).toContain("expected a commit");
  s.hub.twist = (_, answer) => answer;
  for (const etag of ["../evil", "..", "a\\b", "a/b", "", "x".repeat(200)]) {
    s.hub.head = (_, headers) => void Object.assign(headers, { etag: `"${etag}"`, "x-linked-etag": `"${etag}"` });
    expect(await s.failure()).toContain("expected its size and an ETag that can name a file, found ");
  }
  s.hub.head = (_, headers) => void Object.assign(headers, { "x-linked-size": "-1" });
  expect(await s.failure()).toContain("expected its size and an ETag that can name a file, found ");
});

test("an API that sends something else, or a damaged index", async () => {
  s.hub.head = (_, headers) => void delete headers["x-repo-commit"];
  s.hub.faults.set("api", [{}]);
  expect(await s.failure()).toMatch(/^HubError: org\/name: expected JSON from .*, found /);
  for (const answer of [null, [], "x", {}, { sha: 1 }]) {
    s.hub.twist = () => answer;
    expect(await s.failure()).toMatch(/^HubError: org\/name: expected a commit from the Hugging Face API of /);
  }
  s.hub.twist = (_, answer) => answer;
  s.hub.repos["org/name"] = sharded();
  s.hub.repos["org/name"].files[INDEX] = bytes(100);
  expect(await s.failure()).toContain("expected a JSON object with weight_map");
  s.hub.repos["org/name"] = sharded({ a: "absent.safetensors" });
  expect(await s.failure()).toBe(`ModelError: org/name: expected absent.safetensors, which ${INDEX} names, found none`);
});

test("a cache that cannot be written, a full disk", async () => {
  const cacheDir = join(s.cache, "file");
  writeFileSync(cacheDir, "");
  expect(await s.failure({ cacheDir })).toMatch(/^LambentError: .*: expected a writable cache, found E\w+$/);
  const full = Object.assign(new Error(), { code: "ENOSPC", syscall: "write" });
  expect((diskError(full, "/cache") as Error).message).toBe("/cache: expected free disk space, found none");
});

test("the environment says where the cache and the hub are", async () => {
  const free = { endpoint: undefined, cacheDir: undefined } as object;
  process.env.HF_ENDPOINT = `${s.hub.endpoint}/`;
  expect(await s.download(free)).toBe(join(s.cache, "hub", "models--org--name", "snapshots", SHA));
  process.env.HF_HUB_CACHE = join(s.cache, "other");
  expect(await s.download(free)).toBe(join(s.cache, "other", "models--org--name", "snapshots", SHA));
  process.env.HF_HUB_CACHE = "~/none-such-cache";
  mkdirSync(join(s.cache, "unused"));
  expect(await s.failure({ ...free, offline: true })).toContain("being offline");
  expect(existsSync(join(homedir(), "none-such-cache"))).toBe(false);
});
