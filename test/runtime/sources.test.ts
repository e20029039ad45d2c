/** Weights from blobs, an object store and streams: the same model as from disk, in order, with little held. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { OptionError } from "../../src/base/errors.ts";
import type { Files } from "../../src/base/source.ts";
import { Engine } from "../../src/engine/engine.ts";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import { parseSafetensors } from "../../src/formats/safetensors.ts";
import { filesFromBlobs } from "../../src/sources/blobs.ts";
import { type Bucket, filesFromBucket } from "../../src/sources/bucket.ts";
import { filesFromStreams, type StreamedFile } from "../../src/sources/streams.ts";
import { fileOf, type Tensor, tinyOf } from "../engine/tiny.ts";
import { FIXTURES, kernels, logitsOf, openEngine, ROOT } from "../setup.ts";
import { type DType, EMBEDDED, engineOf, FIXTURE, IDS, refusal, WEIGHTS } from "./source_setup.ts";

setDefaultTimeout(30_000);

type Bytes = Uint8Array<ArrayBuffer>;

const read = (path: string): Bytes => new Uint8Array(readFileSync(path));
const folder = (path: string): [string, Bytes][] => readdirSync(path).map((file) => [file, read(join(path, file))]);

/** A stream that makes `size` bytes at a time, and only when it is asked; `made` hears how many there are so far. */
function chunks(bytes: Bytes, size: () => number, made = (_: number) => {}): ReadableStream<Bytes> {
  let at = 0;
  const pull = (controller: ReadableStreamDefaultController<Bytes>) => {
    if (at === bytes.length) return controller.close();
    const chunk = bytes.slice(at, at + size());
    at += chunk.length;
    made(at);
    controller.enqueue(chunk);
  };
  return new ReadableStream({ pull }, { highWaterMark: 0 });
}

const inChunks = (bytes: Bytes, size: () => number): StreamedFile => ({
  size: bytes.length,
  open: () => chunks(bytes, size),
});
const once = (bytes: Bytes, size: () => number): StreamedFile => ({ size: bytes.length, stream: chunks(bytes, size) });
/** A model whose weights come as `weights` gives them. */
const streamed = (path: string, weights: (bytes: Bytes, size: () => number) => StreamedFile, size = () => 65_536) =>
  filesFromStreams("streamed", Object.fromEntries(folder(path).map(([file, bytes]) => [file, weights(bytes, size)])));

function bucketOf(path: string, prefix: string): Bucket & { asked: [offset: number, length: number][] } {
  const objects = new Map(folder(path).map(([file, bytes]) => [prefix + file, bytes]));
  const asked: [number, number][] = [];
  return {
    asked,
    head: async (key) => {
      const bytes = objects.get(key);
      return bytes ? { size: bytes.length, etag: key } : null;
    },
    get: async (key, { range: { offset, length } }) => {
      const bytes = objects.get(key);
      if (key.endsWith(WEIGHTS)) asked.push([offset, length]);
      const body = bytes && chunks(bytes.slice(offset, offset + length), () => 10_000);
      return bytes ? { size: bytes.length, etag: key, body } : null;
    },
  };
}

/** A file as an `<input webkitdirectory>` gives it. */
function dropped(path: string, bytes: Bytes): File {
  const file = new File([bytes], path.split("/").at(-1) as string);
  return Object.defineProperty(file, "webkitRelativePath", { value: path });
}

const kinds: [string, (path: string) => Files][] = [
  [
    "blobs by name",
    (path) => filesFromBlobs("x", Object.fromEntries(folder(path).map(([file, b]) => [file, new Blob([b])]))),
  ],
  [
    "files that were dropped",
    (path) =>
      filesFromBlobs(
        "x",
        folder(path).map(([file, b]) => dropped(`top/${file}`, b)),
      ),
  ],
  ["a bucket", (path) => filesFromBucket(bucketOf(path, "models/x/"), "models/x")],
  ["streams", (path) => streamed(path, inChunks)],
];
for (const dtype of ["auto", "q4"] as const) {
  test.each(kinds)(`the embedded model as ${dtype} from %s`, async (_, files) => {
    const disk = await openEngine(EMBEDDED, { dtype });
    const engine = await engineOf(files(EMBEDDED), dtype);
    expect(engine.modelHash).toBe(disk.modelHash);
    expect(await logitsOf(engine, IDS)).toEqual(await logitsOf(disk, IDS));
  });
}

test.each([
  ["models/lambent-gptj-6m", 0x2f19a76609470aefn],
  ["test/golden/fixtures/llama-sharded", 0x7eac9386aeb462ean],
  ["test/golden/fixtures/llama-gqa-tied", 0xbe7b0d85ca507affn],
  ["test/golden/fixtures/mpt-bias", 0x6b9ec1df9aac15f5n],
])("the hash of %s is what it was when vectors were read first, whatever the order", async (path, hash) => {
  for (const dtype of ["auto", "q4"] as const) {
    expect((await openEngine(join(ROOT, path), { dtype })).modelHash).toBe(hash);
  }
});

test.each(["auto", "q4"] as const)(
  "as %s, weights are read in one pass, or in two where norms go into matrices",
  async (dtype) => {
    const folders = readdirSync(FIXTURES).map((name) => join(FIXTURES, name));
    const passes = new Set<number>();
    for (const path of [...folders, EMBEDDED].filter((path) => existsSync(join(path, WEIGHTS)))) {
      let opened = 0;
      const files = streamed(path, (bytes, size) => ({
        size: bytes.length,
        open() {
          opened++;
          return chunks(bytes, size);
        },
      }));
      const checkpoint = await openDirectory(files);
      opened = 1; // the one whose header has been read goes on
      const { plan } = await Engine.load(checkpoint, await kernels(), { dtype });
      const passesOver = plan.foldings.length ? 2 : 1;
      // Query, key and value of each head, one behind the other in one tensor: read one after the other, by going back.
      if (plan.weights.some(({ weight }) => weight.name.includes("query_key_value"))) {
        expect(opened).toBeGreaterThan(passesOver);
        continue;
      }
      expect({ path, opened }).toEqual({ path, opened: passesOver });
      passes.add(opened);
    }
    expect([...passes]).toEqual([dtype === "auto" ? 1 : 2]);
  },
);

test("a stream that is read once is enough where matrices stay as they are; else the error names what is needed", async () => {
  const engine = await engineOf(streamed(EMBEDDED, once));
  expect(engine.modelHash).toBe((await openEngine(EMBEDDED)).modelHash);
  const expected =
    /^streamed\/model\.safetensors: expected open\(\), .*, found one stream, read already, and byte \d+ /;
  expect(await refusal(engineOf(streamed(EMBEDDED, once), "q4"))).toMatch(expected);
  const files = streamed(FIXTURE, once);
  await engineOf(files);
  expect(await refusal(engineOf(files))).toMatch(/config\.json: expected open\(\)/);
});

test("chunks of any size, from one byte to a megabyte, change nothing", async () => {
  const right = (await openEngine(FIXTURE)).modelHash;
  const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 2 ** 20 })), {
    minLength: 1,
  });
  await fc.assert(
    fc.asyncProperty(sizes, fc.constantFrom<DType>("auto", "q4"), async (list, dtype) => {
      if (Math.max(...list) === 0) list.push(1);
      let n = 0;
      const files = streamed(FIXTURE, inChunks, () => list[n++ % list.length] as number);
      expect((await engineOf(files, dtype)).modelHash).toBe(right);
    }),
    { numRuns: 40 },
  );
});

test("no more is taken from a stream than is read, but for one chunk", async () => {
  const bytes = read(join(EMBEDDED, WEIGHTS));
  const first = Math.min(...[...parseSafetensors(bytes, "x").tensors.values()].map(({ begin }) => begin));
  let taken = 0;
  const files = streamed(EMBEDDED, (one) => ({
    size: one.length,
    open: () =>
      chunks(
        one,
        () => 10_007,
        (at) => {
          if (one.length === bytes.length) taken = at;
        },
      ),
  }));
  const checkpoint = await openDirectory(files);
  let most = 0;
  await Engine.load(checkpoint, await kernels(), {
    onProgress: (loaded) => {
      most = Math.max(most, taken - first - loaded);
    },
  });
  expect(most).toBeLessThan(10_007);
  expect(taken).toBe(bytes.length);
});

test("reads that are asked for together do not mix", async () => {
  const bytes = read(join(FIXTURE, WEIGHTS));
  for (const files of kinds.map(([, make]) => make(FIXTURE))) {
    const source = await files.open(WEIGHTS);
    const parts = [5000, 0, 70_000, 69_990, 20].map((at) => [at, new Uint8Array(3000)] as const);
    await Promise.all(parts.map(([at, target]) => source?.readInto(target, at)));
    for (const [at, target] of parts) expect(target).toEqual(bytes.slice(at, at + 3000));
    await source?.close();
  }
});

test("the second copy of a tied head is found by reading forward", async () => {
  const path = join(FIXTURES, "llama-gqa-tied");
  const { tensors } = tinyOf(path);
  const both = fileOf(tensors.set("lm_head.weight", tensors.get("model.embed_tokens.weight") as Tensor));
  let opened = 0;
  const files = filesFromStreams("tied", {
    "config.json": inChunks(read(join(path, "config.json")), () => 100),
    [WEIGHTS]: {
      size: both.length,
      open() {
        opened++;
        return chunks(both, () => 1000);
      },
    },
  });
  const engine = await engineOf(files);
  expect(engine.modelHash).toBe((await openEngine(path)).modelHash);
  expect(opened).toBe(2);
});

test("streams that are shorter, fail, hold something else, cannot be opened or say nothing", async () => {
  const bytes = read(join(FIXTURE, WEIGHTS));
  const config = inChunks(read(join(FIXTURE, "config.json")), () => 100);
  const load = (weights: StreamedFile, signal?: AbortSignal) =>
    engineOf(filesFromStreams("bad", { "config.json": config, [WEIGHTS]: weights }), "auto", signal);
  const size = bytes.length;
  const failing = (error: unknown) => new ReadableStream({ pull: () => Promise.reject(error) });
  for (const cut of [0, 5, 8, 2000, 60_000, size - 1]) {
    const short = load({ size, open: () => chunks(bytes.slice(0, cut), () => 1000) });
    expect(await refusal(short)).toMatch(
      new RegExp(`^bad/${WEIGHTS}: expected ${size} bytes, found ${cut}: the source ends there$`),
    );
  }
  expect(await refusal(load({ size: size + 1, open: () => chunks(bytes, () => 1000) }))).toMatch(
    /: expected \d+ bytes/,
  );
  expect(await refusal(load({ size: size - 1, open: () => chunks(bytes, () => 1000) }))).toMatch(
    /: expected \d+ bytes/,
  );
  expect(await refusal(load({ size, open: () => failing(new Error("gone\nnow")) }))).toMatch(
    /expected bytes, found gone now$/,
  );
  expect(await refusal(load({ size, open: () => Promise.reject(new Error("closed")) }))).toMatch(/found closed$/);
  expect(
    await refusal(load({ size, stream: new ReadableStream({ pull: (c) => c.enqueue("text" as never) }) })),
  ).toMatch(/expected a stream of Uint8Arrays, found text$/);
  for (const wrong of [Number.NaN, -1, 0.5, undefined as never]) {
    expect(await refusal(load({ size: wrong, open: () => chunks(bytes, () => 1000) }))).toMatch(
      /: size: expected bytes, /,
    );
  }
  const stop = new AbortController();
  let cancelled = false;
  const silent = () => {
    let at = 0;
    return new ReadableStream<Bytes>({
      pull(controller) {
        if (at >= 50_000) return new Promise(() => setTimeout(() => stop.abort(new Error("enough")), 5));
        controller.enqueue(bytes.slice(at, (at += 10_000)));
      },
      cancel() {
        cancelled = true;
      },
    });
  };
  const loading = load({ size, open: silent }, stop.signal);
  expect((await loading.catch((error) => error)).message).toBe("enough");
  expect(cancelled).toBe(true);
});

test("a bucket: no key twice, ranges that grow, objects that change or fail", async () => {
  const bucket = bucketOf(EMBEDDED, "");
  await engineOf(filesFromBucket(bucket));
  let at = 0;
  for (const [offset, length] of bucket.asked) {
    expect(offset).toBe(at);
    at += length;
  }
  expect(bucket.asked.length).toBeLessThan(20);
  const changed: [string, Partial<Bucket>, RegExp][] = [
    ["is gone", { get: async () => null }, /config\.json: expected an object with a body, found null$/],
    [
      "is another one",
      { get: async (key, options) => ({ ...(await bucket.get(key, options))!, etag: "new" }) },
      /config\.json: expected the object of \d+ bytes that was opened, found another one$/,
    ],
    ["fails", { get: () => Promise.reject(new Error("internal")) }, /config\.json: expected bytes, found internal$/],
    [
      "cannot be asked",
      { head: () => Promise.reject(new Error("denied")) },
      /config\.json: expected bytes, found denied$/,
    ],
  ];
  for (const [, other, message] of changed) {
    expect(await refusal(engineOf(filesFromBucket({ ...bucket, ...other })))).toMatch(message);
  }
  expect(await refusal(engineOf(filesFromBucket(bucket, "nowhere")))).toMatch(
    /^nowhere: expected model\.safetensors or /,
  );
});

test("folders that were dropped: the one with config.json counts; of two, it is an error", async () => {
  const model = folder(FIXTURE).map(([file, bytes]) => dropped(`a/${file}`, bytes));
  const clutter = dropped(`a/old/${WEIGHTS}`, new Uint8Array(3));
  await engineOf(filesFromBlobs("drop", [clutter, ...model, clutter]));
  const second = dropped("a/b/config.json", new Uint8Array(3));
  expect(() => filesFromBlobs("drop", [...model, second])).toThrow(OptionError);
  expect(() => filesFromBlobs("drop", [...model, second])).toThrow(
    "drop: expected one folder with config.json, found a/, a/b/",
  );
  expect(
    await refusal(
      engineOf(
        filesFromBlobs(
          "drop",
          model.filter(({ name }) => name !== "config.json"),
        ),
      ),
    ),
  ).toMatch(/^drop: expected config\.json in the same folder as the weights/);
  expect(await refusal(engineOf(filesFromBlobs("drop", {})))).toMatch(/^drop: expected model\.safetensors or /);
});

test("what gives weights on hosts without a file system imports no module of Node and uses nothing of it", () => {
  const seen = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(file, "utf8");
    expect(text).not.toMatch(/"node:|\bBuffer\b|\bprocess\b|\bBun\b|\bDeno\b/);
    for (const [, name = ""] of text.matchAll(/from "(\..*)"/g)) visit(join(dirname(file), name));
  };
  for (const file of ["url", "blobs", "bucket", "streams"]) visit(join(ROOT, `src/sources/${file}.ts`));
  expect(seen.size).toBeGreaterThan(6);
});
