/** Transfers that break, stall and lie, and the bytes that are right all the same. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { type Fault, sha256 } from "./hub-server.ts";
import { bytes, Setup, SHA, shard, sharded, WEIGHTS } from "./hub-setup.ts";

const RIGHT = bytes(20_000);
const OID = sha256(RIGHT);
let s: Setup;
beforeEach(async () => {
  s = await new Setup().start();
});
afterEach(() => s.stop());

const fault = (...faults: Fault[]) => s.hub.faults.set(WEIGHTS, faults);
const many = (one: Fault) => Array.from({ length: 20 }, () => one);
const until = async (condition: () => boolean) => {
  while (!condition()) await sleep(5);
};

test("a broken transfer goes on where it broke off", async () => {
  fault({ cut: 7000 }, { cut: 5000 });
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.ranges(WEIGHTS)).toEqual(["", "bytes=7000-", "bytes=12000-"]);
  expect(s.parts()).toEqual([]);
});

test("as long as it gets further it is tried again", async () => {
  fault(...Array.from({ length: 12 }, () => ({ cut: 1000 })));
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.ranges(WEIGHTS)).toHaveLength(13);
});

test("small files, whose hash is git's, too; the hub gets If-Range, the CDN does not", async () => {
  s.hub.faults.set("tokenizer.json", [{ cut: 1000 }]);
  fault({ cut: 7000 });
  await s.download();
  const conditions = s.hub.seen.filter(({ headers }) => headers["if-range"]).map(({ server }) => server);
  expect(conditions).toEqual(["hub", "hub"]);
  expect(s.ranges("tokenizer.json", "hub")).toEqual(["", "bytes=1000-"]);
  expect(s.read("tokenizer.json")).toEqual(bytes(3000, 5));
});

test("a run that failed leaves its bytes to the next one", async () => {
  fault({ cut: 7000 }, ...many({ cut: 0 }));
  expect(await s.failure()).toStartWith(`HubError: ${WEIGHTS}: expected an answer from `);
  expect(s.parts()).toEqual([`${OID}.incomplete`]);
  fault();
  s.hub.seen.length = 0;
  await s.download();
  expect(s.ranges(WEIGHTS)).toEqual(["bytes=7000-"]);
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.parts()).toEqual([]);
});

test("so does one that was aborted, at once and with the caller's reason", async () => {
  fault({ stall: 7000 });
  const control = new AbortController();
  const run = s.download({ signal: control.signal }).catch((error) => error);
  await until(() => s.parts().some((name) => s.size(name) === 7000));
  const reason = new Error("enough");
  control.abort(reason);
  expect(await run).toBe(reason);
  expect(s.parts()).toEqual([`${OID}.incomplete`]);
  s.hub.seen.length = 0;
  await s.download();
  expect(s.ranges(WEIGHTS)).toEqual(["bytes=7000-"]);
  s.hub.seen.length = 0;
  expect(await s.download({ signal: control.signal }).catch((error) => error)).toBe(reason);
  expect(s.hub.seen).toEqual([]);
});

test("an abort during the pause before a retry", async () => {
  s.hub.faults.set("api", many({ status: 503 }));
  const control = new AbortController();
  const run = s.download({ signal: control.signal }, { backoff: 1e6, patience: 1e6 }).catch((error) => error);
  await until(() => s.hub.seen.length > 0);
  control.abort();
  expect((await run).name).toBe("AbortError");
});

test("wrong bytes of the right length are fetched once more", async () => {
  fault({ content: bytes(20_000, 2) });
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.ranges(WEIGHTS)).toEqual(["", ""]);
});

test("wrong bytes twice: an error with both hashes, and nothing is left", async () => {
  const wrong = bytes(20_000, 2);
  fault(...many({ content: wrong }));
  const expected = `ModelError: ${WEIGHTS}: expected SHA-256 ${OID}, found ${sha256(wrong)}`;
  expect(await s.failure()).toBe(expected);
  expect(s.ranges(WEIGHTS)).toHaveLength(2);
  expect(s.parts()).toEqual([]);
  expect(existsSync(s.path("blobs", OID))).toBe(false);
  expect(existsSync(s.path("snapshots", SHA, WEIGHTS))).toBe(false);
  s.hub.faults.set("config.json", many({ content: bytes(24) }));
  s.hub.repos["org/name"]!.files["config.json"] = bytes(24, 3);
  rmSync(s.path(), { recursive: true });
  expect(await s.failure()).toMatch(/^ModelError: config.json: expected git SHA-1 [0-9a-f]{40}, found [0-9a-f]{40}$/);
});

test("a wrong beginning from an earlier run is found out and fetched again", async () => {
  await Bun.write(s.path("blobs", `${OID}.incomplete`), bytes(6000, 3));
  await s.download();
  expect(s.ranges(WEIGHTS)).toEqual(["bytes=6000-", ""]);
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
});

test("a part that is complete, and one that is too long", async () => {
  await Bun.write(s.path("blobs", `${OID}.incomplete`), RIGHT);
  await s.download();
  expect(s.ranges(WEIGHTS)).toEqual([]);
  rmSync(s.path(), { recursive: true });
  await Bun.write(s.path("blobs", `${OID}.incomplete`), bytes(20_001));
  fault({ content: bytes(20_000, 2) });
  await s.download();
  expect(s.ranges(WEIGHTS)).toEqual(["", ""]);
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
});

test("a server that ignores ranges starts anew; so does one that refuses them", async () => {
  fault({ cut: 7000 }, { whole: true });
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.ranges(WEIGHTS)).toEqual(["", "bytes=7000-"]);
  rmSync(s.path(), { recursive: true });
  fault({ cut: 7000 }, { status: 416 });
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.ranges(WEIGHTS)).toEqual(["", "bytes=7000-", ""]);
});

test("a range that is not the one asked for is not taken", async () => {
  fault({ cut: 7000 }, { headers: { "content-range": "bytes 6999-19999/20000" } });
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.ranges(WEIGHTS)).toEqual(["", "bytes=7000-", ""]);
});

test("nor one of a file that became another", async () => {
  s.hub.faults.set("tokenizer.json", [{ cut: 1000 }, { headers: { etag: `"${"0".repeat(40)}"` } }]);
  await s.download();
  expect(s.read("tokenizer.json")).toEqual(bytes(3000, 5));
  expect(s.ranges("tokenizer.json", "hub")).toEqual(["", "bytes=1000-", ""]);
});

test("a file that is shorter or longer than the hub says", async () => {
  fault(...many({ content: RIGHT.subarray(0, 9000) }));
  expect(await s.failure()).toBe(`HubError: ${WEIGHTS}: expected 20000 bytes, found 9000`);
  rmSync(s.path(), { recursive: true });
  fault(...many({ content: bytes(30_000) }));
  expect(await s.failure()).toBe(`ModelError: ${WEIGHTS}: expected 20000 bytes, found more`);
  fault({ content: bytes(30_000) });
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
});

test("a server that ignores ranges and always breaks ends in an error", async () => {
  fault(...many({ cut: 7000, whole: true }));
  expect(await s.failure()).toStartWith(`HubError: ${WEIGHTS}: expected an answer from `);
  expect(s.ranges(WEIGHTS)).toHaveLength(6);
});

test("500 and 429 are tried again, with the pause the server asks for, up to five times", async () => {
  s.hub.faults.set("api", [{ status: 500 }, { status: 429, headers: { "retry-after": "3600" } }]);
  const date = new Date(Date.now() + 3_600_000).toUTCString();
  fault(
    { status: 502 },
    { status: 503, headers: { "retry-after": date } },
    { status: 504 },
    { cut: 0 },
    { status: 500 },
  );
  await s.download();
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.ranges(WEIGHTS)).toHaveLength(6);
  rmSync(s.path(), { recursive: true });
  fault(...many({ status: 500 }));
  expect(await s.failure()).toMatch(/^HubError: model.safetensors: expected an answer from .*, found HTTP 500$/);
  expect(s.ranges(WEIGHTS)).toHaveLength(6);
  fault(...many({ status: 403 }));
  expect(await s.failure()).toMatch(/^HubError: model.safetensors: expected an answer from .*, found HTTP 403$/);
  expect(s.ranges(WEIGHTS)).toHaveLength(1);
});

test("a server that falls silent is asked again, and in the end given up", async () => {
  fault({ stall: 7000 });
  await s.download({}, { stall: 500 });
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.ranges(WEIGHTS).length).toBeGreaterThan(1);
  rmSync(s.path(), { recursive: true });
  fault(...many({ stall: 0 }));
  const expected = /^HubError: model.safetensors: expected bytes from .* within 0.5 s, found none$/;
  expect(await s.failure({}, { stall: 500, retries: 2 })).toMatch(expected);
});

test("redirects: not without end, not away from https or http", async () => {
  const to = (location: string) => many({ status: 302, headers: { location } });
  s.hub.faults.set("config.json", to("config.json"));
  expect(await s.failure()).toBe("HubError: config.json: expected at most 10 redirects, found more");
  for (const location of ["file:///etc/hostname", "data:,x", "http://"]) {
    s.hub.faults.set("config.json", to(location));
    expect(await s.failure()).toContain(`config.json: expected a redirect to https`);
  }
});

test("a failure of one file stops the others, and all leave what they have", async () => {
  s.hub.repos["org/name"] = sharded();
  s.hub.faults.set(shard(1), [{ stall: 4000 }]);
  s.hub.faults.set(shard(2), [{ status: 404, slow: 1 }]);
  s.hub.faults.set(shard(3), [{ stall: 5000 }]);
  expect(await s.failure()).toStartWith(`HubError: ${shard(2)}: `);
  for (const name of s.parts()) expect(name).toMatch(/^[0-9a-f]{64}\.incomplete$/);
  await s.download();
  for (const n of [1, 2, 3]) expect(s.read(shard(n))).toEqual(bytes(10_000 * n, n));
});

test("however often and wherever it breaks, the file is right in the end", async () => {
  const odd = fc.record({ cut: fc.nat(9000), abrupt: fc.boolean(), whole: fc.boolean() });
  const wrong = fc.constant<Fault>({ content: bytes(8000, 7) });
  const faults = fc.array(fc.oneof({ weight: 6, arbitrary: odd }, { weight: 1, arbitrary: wrong }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.nat(8000), faults, async (size, list) => {
      rmSync(s.path(), { recursive: true, force: true });
      const right = bytes(size, 11);
      s.hub.repos["org/name"]!.files[WEIGHTS] = right;
      fault(...list);
      for (let run = 0; ; run++) {
        const failed = await s.download({}, { retries: 2 }).then(
          () => false,
          () => true,
        );
        if (!failed) break;
        expect(existsSync(s.path("snapshots", SHA, WEIGHTS))).toBe(false);
        expect(run).toBeLessThan(15);
      }
      expect(readFileSync(s.path("blobs", sha256(right)))).toEqual(Buffer.from(right));
      expect(readdirSync(s.path("blobs")).filter((name) => name.includes("."))).toEqual([]);
    }),
    { numRuns: 30 },
  );
}, 30_000);
