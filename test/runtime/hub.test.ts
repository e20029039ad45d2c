/** Which files a model id brings into the cache, and with which requests. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { oidOf } from "./hub-server.ts";
import { bytes, INDEX, Setup, SHA, shard, sharded, small, WEIGHTS } from "./hub-setup.ts";

const NEEDED = ["config.json", "generation_config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"];
let s: Setup;
beforeEach(async () => {
  s = await new Setup().start();
});
afterEach(() => s.stop());

describe("what is fetched", () => {
  test("only the files that are needed, into Python's layout", async () => {
    expect(await s.download()).toBe(s.path("snapshots", SHA));
    expect(readdirSync(s.path("snapshots", SHA)).sort()).toEqual(NEEDED);
    expect(readFileSync(s.path("refs", "main"), "utf8")).toBe(SHA);
    for (const name of NEEDED) {
      const right = s.hub.repos["org/name"]!.files[name]!;
      expect(s.read(name)).toEqual(right);
      expect(readlinkSync(s.path("snapshots", SHA, name))).toBe(join("..", "..", "blobs", oidOf(name, right)));
    }
    expect(readdirSync(s.path("blobs"))).toHaveLength(NEEDED.length);
    const absent = ["added_tokens.json", "chat_template.jinja", "chat_template.json", "special_tokens_map.json"];
    expect(readdirSync(s.path(".no_exist", SHA)).sort()).toEqual(absent);
    expect(readdirSync(s.path()).sort()).toEqual([".no_exist", "blobs", "refs", "snapshots"]);
  });

  test("one request to the API for the commit, and two for each file that it lists: headers, bytes", async () => {
    await s.download();
    const [first, ...requests] = s.hub.requests();
    expect(first).toBe("GET api/revision");
    expect(requests.slice(0, NEEDED.length).sort()).toEqual(NEEDED.map((name) => `HEAD ${name}`).sort());
    const files = NEEDED.map((name) => `GET ${name}`);
    expect(requests.slice(NEEDED.length).sort()).toEqual([...files, `GET cdn/${WEIGHTS}`].sort());
  });

  test("what stands in for tokenizer.json, only where that is missing", async () => {
    const { files } = s.hub.repos["org/name"]!;
    Object.assign(files, { "tokenizer.model": bytes(70), "vocab.json": bytes(80), "merges.txt": bytes(90) });
    await s.download();
    expect(readdirSync(s.path("snapshots", SHA)).sort()).toEqual(NEEDED);
    rmSync(s.path(), { recursive: true });
    delete files["tokenizer.json"];
    await s.download();
    for (const name of ["tokenizer.model", "vocab.json", "merges.txt"]) expect(s.read(name)).toEqual(files[name]!);
    s.hub.requests();
    expect(await s.download({ revision: SHA })).toBe(s.path("snapshots", SHA));
    rmSync(s.path(".no_exist"), { recursive: true });
    expect(await s.download({ offline: true })).toBe(s.path("snapshots", SHA));
    expect(s.hub.requests()).toEqual([]);
  });

  test("a model in a folder of a repository, beside the one at its root", async () => {
    const { files } = s.hub.repos["org/name"]!;
    for (const name of NEEDED) files[`a/b/${name}`] = bytes(500 + name.length, 7);
    expect(await s.download({ folder: "a/b" })).toBe(s.path("snapshots", SHA, "a", "b"));
    for (const name of NEEDED) expect(s.read(`a/b/${name}`)).toEqual(files[`a/b/${name}`]!);
    expect(readdirSync(s.path("snapshots", SHA))).toEqual(["a"]);
    s.hub.requests();
    expect(await s.download({ folder: "a/b", revision: SHA })).toBe(s.path("snapshots", SHA, "a", "b"));
    expect(s.hub.requests()).toEqual([]);
    await s.download();
    expect(s.read("config.json")).toEqual(files["config.json"]!);
    expect(await s.failure({ folder: "c" })).toBe("ModelError: org/name/c: expected config.json, found none");
  });

  test("the shards that the index names, and no others", async () => {
    s.hub.repos["org/name"] = sharded({ a: shard(1), b: shard(3) });
    await s.download();
    expect(readdirSync(s.path("snapshots", SHA))).toContain(INDEX);
    const got = readdirSync(s.path("snapshots", SHA)).filter((name) => name.endsWith(".safetensors"));
    expect(got.sort()).toEqual([shard(1), shard(3)]);
    expect(s.read(shard(3))).toEqual(bytes(30_000, 3));
  });

  test("shards in folders beside the index", async () => {
    const repo = sharded({ a: "parts/a.safetensors", b: shard(3) });
    repo.files["parts/a.safetensors"] = bytes(4000, 8);
    s.hub.repos["org/name"] = repo;
    expect(await s.download()).toBe(s.path("snapshots", SHA));
    expect(s.read("parts/a.safetensors")).toEqual(bytes(4000, 8));
    expect(await s.download({ offline: true })).toBe(s.path("snapshots", SHA));
  });

  test("a single file is preferred to shards", async () => {
    s.hub.repos["org/name"]!.files[INDEX] = sharded().files[INDEX]!;
    await s.download();
    expect(readdirSync(s.path("snapshots", SHA)).sort()).toEqual(NEEDED);
  });

  test("a model without an organisation, and an empty file", async () => {
    s.hub.repos.gpt2 = small();
    s.hub.repos.gpt2.files["chat_template.jinja"] = new Uint8Array(0);
    const path = await s.download({}, {}, "gpt2");
    expect(path).toBe(join(s.cache, "models--gpt2", "snapshots", SHA));
    expect(readFileSync(join(path, "chat_template.jinja"))).toHaveLength(0);
  });

  test("progress counts the bytes of all files and ends at the total", async () => {
    s.hub.repos["org/name"] = sharded();
    const seen: { file: string; loaded: number; total: number }[] = [];
    s.hub.faults.set(shard(3), [{ slow: 1 }]);
    const start = performance.now();
    await s.download({ onProgress: (progress) => seen.push(progress) });
    expect(seen.length).toBeLessThan((performance.now() - start) / 100 + 3);
    const { files } = s.hub.repos["org/name"]!;
    const names = [...NEEDED.filter((name) => name !== WEIGHTS), INDEX, shard(1), shard(2), shard(3)];
    const total = names.reduce((sum, name) => sum + files[name]!.length, 0);
    for (const progress of seen) {
      expect(progress.total).toBe(total);
      expect(progress.loaded).toBeLessThanOrEqual(total);
    }
    expect(seen.at(-1)?.loaded).toBe(total);
    seen.length = 0;
    await s.download({ onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([]);
  });

  test("where links cannot be made the files themselves are there", async () => {
    const symlink = () => Promise.reject(new Error("EPERM"));
    await s.download({}, { symlink });
    for (const name of NEEDED) {
      expect(lstatSync(s.path("snapshots", SHA, name)).isFile()).toBe(true);
      expect(s.read(name)).toEqual(s.hub.repos["org/name"]!.files[name]!);
    }
    expect(readdirSync(s.path("blobs"))).toEqual([]);
    s.hub.requests();
    await s.download({}, { symlink });
    expect(s.hub.requests()).toEqual(["GET api/revision"]);
  });
});

describe("the cache", () => {
  test("a second run asks for the commit only; a commit that is all there makes no request", async () => {
    await s.download();
    s.hub.requests();
    await s.download();
    expect(s.hub.requests()).toEqual(["GET api/revision"]);
    expect(await s.download({ revision: SHA })).toBe(s.path("snapshots", SHA));
    expect(s.hub.requests()).toEqual([]);
  });

  test("a new commit reuses the blobs that did not change", async () => {
    await s.download();
    const repo = s.hub.repos["org/name"]!;
    repo.sha = "f".repeat(40);
    repo.files["config.json"] = bytes(100, 9);
    s.hub.requests();
    expect(await s.download()).toBe(s.path("snapshots", repo.sha));
    const read = s.hub.requests().filter((request) => !request.startsWith("HEAD"));
    expect(read).toEqual(["GET api/revision", "GET config.json"]);
    expect(readFileSync(s.path("refs", "main"), "utf8")).toBe(repo.sha);
  });

  test("main does not move from a usable snapshot to one that could not be fetched", async () => {
    await s.download();
    const repo = s.hub.repos["org/name"]!;
    repo.sha = "f".repeat(40);
    repo.files["config.json"] = bytes(100, 9);
    s.hub.faults.set("config.json", [{ status: 404 }]);
    await s.failure();
    expect(await s.download({ offline: true })).toBe(s.path("snapshots", SHA));
  });

  test("what Python fetched is used: links to blobs by ETag, a commit for main, nothing about files that are not there", async () => {
    const { files } = s.hub.repos["org/name"]!;
    for (const name of ["blobs", "refs", join("snapshots", SHA)]) mkdirSync(s.path(name), { recursive: true });
    writeFileSync(s.path("refs", "main"), SHA);
    for (const [name, right] of Object.entries(files)) {
      writeFileSync(s.path("blobs", oidOf(name, right)), right);
      symlinkSync(join("..", "..", "blobs", oidOf(name, right)), s.path("snapshots", SHA, name));
    }
    expect(await s.download({ offline: true })).toBe(s.path("snapshots", SHA));
    expect(s.hub.requests()).toEqual([]);
    await s.download();
    const read = s.hub.requests().filter((request) => !request.startsWith("HEAD"));
    expect(read).toEqual(["GET api/revision"]);
  });

  test("a file of the wrong length in the cache is fetched again", async () => {
    await s.download();
    truncateSync(s.path("snapshots", SHA, WEIGHTS), 5);
    rmSync(s.path("snapshots", SHA, "config.json"));
    await s.download();
    expect(s.read(WEIGHTS)).toEqual(bytes(20_000));
  });

  test("offline with all there: no request", async () => {
    s.hub.repos["org/name"] = sharded();
    await s.download();
    s.hub.requests();
    expect(await s.download({ offline: true })).toBe(s.path("snapshots", SHA));
    process.env.HF_HUB_OFFLINE = "1";
    expect(await s.download()).toBe(s.path("snapshots", SHA));
    expect(s.hub.requests()).toEqual([]);
  });

  test("offline with a part: the first missing file is named", async () => {
    s.hub.repos["org/name"] = sharded();
    await s.download();
    s.hub.requests();
    const lacks = async (name: string) => {
      rmSync(s.path("snapshots", SHA, name));
      expect(await s.failure({ offline: true })).toBe(
        `HubError: org/name: expected ${name} in the cache, being offline, found none`,
      );
    };
    await lacks(shard(2));
    await lacks("tokenizer.json");
    await lacks("config.json");
    rmSync(s.path("refs"), { recursive: true });
    const expected = "HubError: org/name: expected revision main in the cache, being offline, found none";
    expect(await s.failure({ offline: true })).toBe(expected);
    expect(s.hub.requests()).toEqual([]);
  });

  test("a hub that cannot be reached, fails or is silent: the cache is used after one request", async () => {
    await s.download();
    s.hub.requests();
    s.hub.faults.set("api", [{ status: 503 }]);
    expect(await s.download()).toBe(s.path("snapshots", SHA));
    expect(s.hub.requests()).toEqual(["GET api/revision"]);
    s.hub.faults.set("api", [{ stall: 0 }]);
    expect(await s.download({}, { probe: 100 })).toBe(s.path("snapshots", SHA));
    s.hub.stop();
    expect(await s.download()).toBe(s.path("snapshots", SHA));
  });

  test("a hub that cannot be reached, and no cache", async () => {
    s.hub.stop();
    const { host } = new URL(s.hub.endpoint);
    expect(await s.failure()).toStartWith(`HubError: org/name: expected an answer from ${host}, found `);
  });
});
