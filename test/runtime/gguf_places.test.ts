/** A GGUF file from everywhere that a model may be: directories, URLs, the hub, blobs, buckets, streams, workers. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Files } from "../../src/base/source.ts";
import { inspect, load } from "../../src/entry/index.ts";
import { openCheckpoint } from "../../src/formats/open.ts";
import { currentRuntime } from "../../src/runtime/index.ts";
import { findOnWeb } from "../../src/runtime/web.ts";
import { loadEngine, withCheckpoint } from "../../src/session/load.ts";
import { filesFromBlobs } from "../../src/sources/blobs.ts";
import { filesFromBucket } from "../../src/sources/bucket.ts";
import { directory } from "../../src/sources/directory.ts";
import { filesFromStreams } from "../../src/sources/streams.ts";
import { FIXTURES, GGUF, openEngine } from "../setup.ts";
import { bytes, Setup, SHA } from "./hub-setup.ts";
import { engineOf, refusal } from "./source_setup.ts";

setDefaultTimeout(30_000);

const NAME = "qwen2.gguf";
const SPLITS = readdirSync(GGUF)
  .filter((name) => name.startsWith("split-"))
  .sort();
const [FIRST, SECOND] = SPLITS as [string, string];
const read = (name: string) => new Uint8Array(readFileSync(join(GGUF, name)));
const parts = () => Object.fromEntries(SPLITS.map((name) => [name, read(name)]));
const hashOf = async (files: Files) => (await engineOf(files)).modelHash;
const rightHash = () => hashOf(directory(GGUF, NAME));
const find = async (where: string, options = {}) => (await currentRuntime()).find(where, options);

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lambent-gguf-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("a directory", () => {
  test("with one file, also beside the config.json of another format", async () => {
    cpSync(join(GGUF, NAME), join(folder, NAME));
    writeFileSync(join(folder, "mmproj-model-f16.gguf"), "x");
    expect(await hashOf(await find(folder))).toBe(await rightHash());
    cpSync(join(FIXTURES, "qwen2/config.json"), join(folder, "config.json"));
    expect(await hashOf(await find(folder))).toBe(await rightHash());
    const model = await load(join(folder, NAME), { threads: 1 });
    expect([model.info.modelType, model.info.model]).toEqual(["qwen2", join(folder, NAME)]);
    model.dispose();
  });

  test("loaded twice is in memory once", async () => {
    const options = { threads: 1 };
    const engineAt = (path: string) =>
      withCheckpoint(path, options, (one, runtime) => loadEngine(one, runtime, options));
    const engine = await engineAt(join(GGUF, NAME));
    expect(await engineAt(join(GGUF, NAME))).toBe(engine);
    expect(await engineAt(join(GGUF, FIRST))).toBe(await engineAt(join(GGUF, SECOND)));
    expect(await engineAt(join(GGUF, FIRST))).not.toBe(engine);
  });

  test("with several says which; with safetensors they do not matter", async () => {
    for (const name of ["b.gguf", "a.gguf"]) writeFileSync(join(folder, name), read(NAME));
    expect(await refusal(openCheckpoint(await find(folder)))).toBe(
      `${folder}: expected one GGUF file, or its name (option file), found a.gguf, b.gguf`,
    );
    expect(await hashOf(await find(folder, { file: "b.gguf" }))).toBe(await rightHash());
    expect(await refusal(openCheckpoint(await find(folder, { file: "c.gguf" })))).toBe(
      `${folder}: expected c.gguf there, found a.gguf, b.gguf`,
    );
    cpSync(join(FIXTURES, "qwen2"), folder, { recursive: true });
    expect(await hashOf(await find(folder))).toBe((await openEngine(join(FIXTURES, "qwen2"))).modelHash);
  });

  test("with a split set takes any of its parts, and says which one is missing", async () => {
    for (const name of SPLITS) cpSync(join(GGUF, name), join(folder, name));
    const hash = await hashOf(await find(folder));
    for (const name of SPLITS) expect(await hashOf(await find(join(folder, name)))).toBe(hash);
    rmSync(join(folder, SECOND));
    expect(await refusal(openCheckpoint(await find(folder)))).toBe(
      `${folder}: expected ${SECOND} in the same folder as ${FIRST}, found no such file`,
    );
    cpSync(join(GGUF, SECOND), join(folder, SECOND));
    rmSync(join(folder, FIRST));
    expect(await refusal(openCheckpoint(await find(folder)))).toBe(
      `${folder}: expected ${FIRST} there, found ${SECOND}, ${SPLITS[2]}`,
    );
    cpSync(join(GGUF, FIRST), join(folder, FIRST));
    cpSync(join(GGUF, FIRST), join(folder, SECOND));
    expect(await refusal(openCheckpoint(await find(folder)))).toBe(
      `${folder}/${SECOND}: expected part 2 of 3, named NAME-00001-of-0000N.gguf, found part 1 of 3`,
    );
    cpSync(join(GGUF, FIRST), join(folder, "alone.gguf"));
    expect(await refusal(openCheckpoint(await find(join(folder, "alone.gguf"))))).toBe(
      `${folder}/alone.gguf: expected part 1 of 1, named NAME-00001-of-0000N.gguf, found part 1 of 3`,
    );
  });
});

describe("files in memory", () => {
  const blobs = (names: string[]) => Object.fromEntries(names.map((name) => [name, new Blob([read(name)])]));

  test("blobs, one alone or one by name", async () => {
    expect(await hashOf(filesFromBlobs("dropped", [new File([read(NAME)], NAME)]))).toBe(await rightHash());
    expect(await hashOf(filesFromBlobs("set", blobs(SPLITS)))).toBe(await hashOf(directory(GGUF, FIRST)));
    const both = filesFromBlobs("both", blobs([NAME, "qwen3.gguf"]));
    expect(await refusal(inspect(both))).toBe(
      "both: expected one GGUF file, or its name (option file), found qwen2.gguf, qwen3.gguf",
    );
    expect((await inspect(both, { file: "qwen3.gguf" })).program.modelType).toBe("qwen3");
  });

  test("an object store, by the file's key or by its folder's", async () => {
    const object = (key: string) => (key === `models/${NAME}` ? read(NAME) : undefined);
    const bucket = {
      head: async (key: string) => (object(key) ? { size: object(key)!.length } : null),
      get: async (key: string, { range }: { range: { offset: number; length: number } }) => {
        const part = object(key)!.slice(range.offset, range.offset + range.length);
        return { size: object(key)!.length, body: new Blob([part]).stream() };
      },
    };
    expect(await hashOf(filesFromBucket(bucket, `models/${NAME}`))).toBe(await rightHash());
    expect((await inspect(filesFromBucket(bucket, "models"), { file: NAME })).program.modelType).toBe("qwen2");
    const model = await load(filesFromBucket(bucket, `models/${NAME}`), { threads: 1, worker: true });
    expect(model.info.modelType).toBe("qwen2");
    model.dispose();
  });

  test("a stream that is read once", async () => {
    const stream = () => ({ size: read(NAME).length, stream: new Blob([read(NAME)]).stream() });
    expect(await hashOf(filesFromStreams("once", { [NAME]: stream() }))).toBe(await rightHash());
  });

  test("a worker is told the file, and what others there are", async () => {
    const both = () => filesFromBlobs("both", blobs([NAME, "qwen3.gguf"]));
    const options = { threads: 1, worker: true } as const;
    const model = await load(both(), { ...options, file: NAME });
    expect(model.info.modelType).toBe("qwen2");
    const { text } = await model
      .generate("the in", { maxNewTokens: 5, seed: 1, temperature: 0 })
      .result.then(async (result) => ({ text: result.newTokens }));
    expect(text).toBeGreaterThan(0);
    model.dispose();
    const alone = await load(filesFromBlobs("one", blobs([NAME])), options);
    expect(alone.tokenizer.encode("the in")).toEqual(
      (await load(join(GGUF, NAME), { threads: 1 })).tokenizer.encode("the in"),
    );
    alone.dispose();
    expect(await refusal(load(both(), options))).toEndWith("found qwen2.gguf, qwen3.gguf");
  });
});

describe("a URL", () => {
  const serve = (files: Record<string, Uint8Array>) => {
    const server = Bun.serve({
      ...{ port: 0, hostname: "127.0.0.1" },
      fetch(request) {
        const { pathname } = new URL(request.url);
        const found = files[decodeURIComponent(pathname).slice(1)];
        if (!found) return new Response("nothing here", { status: 404 });
        const [, from, to] = request.headers.get("range")?.match(/^bytes=(\d+)-(\d+)$/) ?? [];
        if (from === undefined) return new Response(found as BlobPart);
        const end = Math.min(Number(to) + 1, found.length);
        const headers = { "content-range": `bytes ${from}-${end - 1}/${found.length}` };
        return new Response(found.slice(Number(from), end) as BlobPart, { status: 206, headers });
      },
    });
    return { url: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) };
  };

  test("of a file, of a directory and a name, of a split set", async () => {
    const { url, stop } = serve({ [`a/${NAME}`]: read(NAME), "a/b c.gguf": read(NAME), ...parts() });
    for (const where of [`${url}/a/${NAME}`, `${url}/a/${NAME}?download=true`, `${url}/a/b%20c.gguf`])
      expect(await hashOf(await find(where))).toBe(await rightHash());
    expect(await hashOf(await find(`${url}/a`, { file: NAME }))).toBe(await rightHash());
    expect(await hashOf(await find(`${url}/${SECOND}`))).toBe(await hashOf(directory(GGUF, FIRST)));
    expect(await refusal(openCheckpoint(await find(`${url}/a/none.gguf`)))).toBe(
      `${url}/a/: expected none.gguf there, found no such file`,
    );
    expect(await refusal(find(`${url}/a/${NAME}`, { file: "x.gguf" }))).toBe(
      `file: expected ${NAME}, which was named, or none, found x.gguf`,
    );
    await stop();
  });
});

describe("the hub", () => {
  let s: Setup;
  beforeEach(async () => {
    s = await new Setup().start();
    s.hub.repos["org/name"] = { sha: SHA, files: { "README.md": bytes(9), "m-Q4_K_M.gguf": read(NAME) } };
  });
  afterEach(() => s.stop());
  const add = (files: Record<string, Uint8Array>) => Object.assign(s.hub.repos["org/name"]!.files, files);
  const place = (name: string) => s.path("snapshots", SHA, name);

  test("the only file of a repository, and one by name", async () => {
    expect(await s.download()).toBe(place("m-Q4_K_M.gguf"));
    expect(readdirSync(s.path("snapshots", SHA))).toEqual(["m-Q4_K_M.gguf"]);
    add({ "other.gguf": bytes(50), "config.json": bytes(3) });
    expect(await s.download({ file: "other.gguf" })).toBe(place("other.gguf"));
    expect(s.read("other.gguf")).toEqual(bytes(50));
    s.hub.requests();
    expect(await s.download({ file: "other.gguf", revision: SHA })).toBe(place("other.gguf"));
    expect(await s.download({ file: "other.gguf", offline: true })).toBe(place("other.gguf"));
    expect(s.hub.requests()).toEqual([]);
    expect(await s.failure({ file: "third.gguf", offline: true })).toBe(
      "HubError: org/name: expected third.gguf in the cache, being offline, found none",
    );
  });

  test("one by what its name says of its types", async () => {
    add({
      "m-Q4_K_S.gguf": bytes(20),
      "m.Q8_0.gguf": bytes(30),
      "m-UD-Q4_K_M.gguf": bytes(40),
      "mmproj-BF16.gguf": bytes(9),
    });
    expect(await s.download({ quantization: "q8_0" })).toBe(place("m.Q8_0.gguf"));
    expect(await s.download({ quantization: "UD-Q4_K_M" })).toBe(place("m-UD-Q4_K_M.gguf"));
    expect(await s.download({ quantization: "Q8_0", offline: true })).toBe(place("m.Q8_0.gguf"));
    const list = "m-Q4_K_M.gguf, m-Q4_K_S.gguf, m-UD-Q4_K_M.gguf, m.Q8_0.gguf";
    expect(await s.failure({ quantization: "Q4_K_M" })).toBe(
      "ModelError: org/name: expected one GGUF file of Q4_K_M, or its name (option file), found m-Q4_K_M.gguf, m-UD-Q4_K_M.gguf",
    );
    for (const quantization of ["Q4_K", "Q8"])
      expect(await s.failure({ quantization })).toBe(
        `ModelError: org/name: expected one GGUF file of ${quantization}, or its name (option file), found ${list}`,
      );
    expect(await s.failure()).toBe(
      `ModelError: org/name: expected one GGUF file, or its name (option file), found ${list}`,
    );
    expect(await s.failure({ file: "n.gguf" })).toBe(`ModelError: org/name: expected n.gguf, found ${list}`);
  });

  test("a split set in a folder comes whole, and is whole or missing offline", async () => {
    add(
      Object.fromEntries(
        Object.entries(parts()).map(([name, data]) => [`Q8_0/${name.replace("split", "m-Q8_0")}`, data]),
      ),
    );
    const path = await s.download({ quantization: "Q8_0" });
    expect(path).toBe(place("Q8_0/m-Q8_0-00001-of-00003.gguf"));
    expect(readdirSync(s.path("snapshots", SHA, "Q8_0"))).toHaveLength(3);
    expect(await hashOf(await find(path))).toBe(await hashOf(directory(GGUF, FIRST)));
    rmSync(place("Q8_0/m-Q8_0-00002-of-00003.gguf"));
    expect(await s.failure({ quantization: "Q8_0", offline: true })).toBe(
      "HubError: org/name: expected one GGUF file of Q8_0 in the cache, being offline, found none",
    );
    expect(await s.download({ quantization: "Q8_0" })).toBe(path);
    expect(await s.download({ folder: "Q8_0" })).toBe(path);
  });

  test("without an API a file is found by its name only", async () => {
    s.hub.twist = () => "nothing";
    s.hub.faults.set("api", Array(20).fill({ status: 404 }));
    expect(await s.download({ file: "m-Q4_K_M.gguf" })).toBe(place("m-Q4_K_M.gguf"));
  });

  test("by its name on a host with a cache", async () => {
    process.env.HF_ENDPOINT = s.hub.endpoint;
    process.env.HF_HUB_CACHE = s.cache;
    for (const [where, options] of [
      ["org/name:Q4_K_M", {}],
      ["org/name@main:q4_k_m", {}],
      ["org/name", {}],
      ["org/name", { file: "m-Q4_K_M.gguf" }],
      ["hf://org/name/m-Q4_K_M.gguf", {}],
      [`${s.hub.endpoint}/org/name/blob/main/m-Q4_K_M.gguf`, {}],
    ] as const) {
      const files = await find(where, options);
      expect([files.name, files.file]).toEqual([s.path("snapshots", SHA), "m-Q4_K_M.gguf"]);
    }
    const model = await load("org/name:Q4_K_M", { threads: 1 });
    expect(model.info.modelType).toBe("qwen2");
    model.dispose();
    mkdirSync(join(folder, "org"));
  });

  test("by its name on a host without one, which asks for the names only where they matter", async () => {
    const before = globalThis.fetch;
    const asked: string[] = [];
    globalThis.fetch = ((url: string, init: RequestInit) => {
      asked.push(new URL(url).pathname);
      return before(`${url}`.replace("https://huggingface.co", s.hub.endpoint), init);
    }) as unknown as typeof fetch;
    try {
      for (const where of ["org/name:Q4_K_M", "hf://org/name/m-Q4_K_M.gguf", "org/name"])
        expect(await hashOf(await findOnWeb(where, {}))).toBe(await rightHash());
      asked.length = 0;
      expect((await findOnWeb("org/name", { file: "x.gguf" })).file).toBe("x.gguf");
      expect(asked).toEqual([]);
      expect(await refusal(findOnWeb("org/name:Q8_0", {}))).toBe(
        "org/name: expected one GGUF file of Q8_0, or its name (option file), found m-Q4_K_M.gguf",
      );
      expect(asked).toEqual(["/api/models/org/name/revision/main"]);
    } finally {
      globalThis.fetch = before;
    }
  });
});
