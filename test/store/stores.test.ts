/** Every store by the same cases, over the real thing where it is a program. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AwsClient } from "aws4fetch";
import { Redis } from "ioredis";
import { Pool } from "pg";
import { OptionError } from "../../src/base/errors.ts";
import * as stores from "../../src/entry/stores.ts";
import { CASES } from "./cases.ts";
import { startFakeS3 } from "./fake_s3.ts";
import { POSTGRES, REDIS, type Service, startPostgres, startRedis, stopServices } from "./services.ts";

afterAll(stopServices);

type Store = stores.SessionStore;

/** Runs all cases, each over a new store. */
function conform(open: (name: string) => readonly [Store, Store]): void {
  for (const [i, [name, run]] of Object.entries(CASES).entries()) test(name, () => run(open(`case_${i}`)));
}

const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lambent-store-"));
  folders.push(folder);
  return folder;
}
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe("file system", () => {
  conform((name) => {
    const folder = join(newFolder(), name);
    return [stores.fileStore(folder), stores.fileStore(folder)];
  });

  const files = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => statSync(join(folder, file)).isFile());
  const bytesIn = (folder: string) => files(folder).reduce((sum, file) => sum + statSync(join(folder, file)).size, 0);

  test("beyond its bytes what was used least recently is evicted, what expires soonest first", async () => {
    const folder = newFolder();
    const store = stores.fileStore(folder, { maxBytes: 100_000 });
    const value = new Uint8Array(5000);
    await store.put("forever", value);
    await store.put("month", value, { ttl: 2_592_000 });
    for (let i = 0; i < 40; i++) {
      await store.put(`state/${i}`, value, { ttl: 1000 });
      expect(bytesIn(folder)).toBeLessThanOrEqual(100_000);
      // Read now and then.
      expect((await store.get("state/0"))?.bytes.length).toBe(5000);
    }
    const kept = await store.list("");
    expect(kept).toContain("forever");
    expect(kept).toContain("month");
    expect(kept).toContain("state/39");
    expect(kept).not.toContain("state/1");
    expect(kept.length).toBeGreaterThan(14);
    expect(() => stores.fileStore(folder, { maxBytes: 0 })).toThrow(OptionError);
  });

  test("what was expired, deleted or never finished does not stay", async () => {
    const folder = newFolder();
    const store = stores.fileStore(folder);
    await store.put("deleted", new Uint8Array(10));
    await store.delete("deleted");
    await store.put("expired", new Uint8Array(10), { ttl: 0.001 });
    await Bun.write(join(folder, ".new/killed"), "x");
    const old = Date.now() / 1000 - 7200;
    for (const file of files(folder)) utimesSync(join(folder, file), old, old);
    // Another process, which sweeps at first: what is empty goes, what has expired becomes so.
    await stores.fileStore(folder).put("kept", new Uint8Array(10));
    expect(existsSync(join(folder, "deleted"))).toBe(false);
    expect(bytesIn(folder)).toBe(1 + 42);
    expect(await store.list("")).toEqual(["kept"]);
  });

  test("writers that are killed at any moment leave whole values, and nothing locked", async () => {
    const folder = newFolder();
    const program = `
      const { fileStore } = await import(${JSON.stringify(join(import.meta.dir, "../../src/entry/stores.ts"))});
      const store = fileStore(${JSON.stringify(folder)});
      console.log("writing");
      for (let i = 0; ; i++) await store.put("key/" + (i % 3), new Uint8Array(200_000).fill(i & 255));`;
    const store = stores.fileStore(folder);
    for (let round = 0; round < 4; round++) {
      const writers = [1, 2].map(() => Bun.spawn([process.execPath, "-e", program], { stdout: "pipe" }));
      await Promise.all(writers.map(({ stdout }) => stdout.getReader().read()));
      for (let i = 0; i < 30; i++) {
        const bytes = (await store.get(`key/${i % 3}`))?.bytes ?? new Uint8Array(200_000);
        expect([bytes.length, bytes.every((byte) => byte === bytes[0])]).toEqual([200_000, true]);
      }
      for (const writer of writers) writer.kill("SIGKILL");
      await Promise.all(writers.map(({ exited }) => exited));
    }
    for (const key of await store.list("key/")) {
      const { version, bytes } = (await store.get(key))!;
      expect([bytes.length, bytes.every((byte) => byte === bytes[0])]).toEqual([200_000, true]);
      expect(await store.put(key, bytes, { ifVersion: version })).toBeString();
    }
  });
});

describe.skipIf(!REDIS)("Redis", () => {
  let service: Service;
  let clients: Redis[] = [];
  beforeAll(async () => {
    service = await startRedis();
    clients = [new Redis(service.url), new Redis(service.url)];
  });
  afterAll(() => {
    for (const client of clients) client.disconnect();
  });
  conform((name) => {
    const [one, other] = clients.map((client) => stores.redisStore(client, { prefix: `${name}*[x]:` }));
    return [one!, other!];
  });
});

describe.skipIf(!POSTGRES)("PostgreSQL", () => {
  let service: Service;
  let pools: Pool[] = [];
  beforeAll(async () => {
    service = await startPostgres();
    pools = [1, 2].map(() => new Pool({ connectionString: service.url }));
  });
  afterAll(async () => {
    for (const pool of pools) await pool.end();
  });
  conform((table) => {
    const [one, other] = pools.map((pool) => stores.postgresStore(pool, { table }));
    return [one!, other!];
  });

  test("a table is made by several at once, and expired rows are deleted", async () => {
    const all = Array.from({ length: 8 }, (_, i) => stores.postgresStore(pools[i % 2]!, { table: "at_once" }));
    await Promise.all(all.map((store, i) => store.put(`${i}`, new Uint8Array(1), { ttl: 0.001 })));
    await Bun.sleep(10);
    await stores.postgresStore(pools[0]!, { table: "at_once" }).put("last", new Uint8Array(1));
    expect((await pools[0]!.query("select key from at_once")).rows).toEqual([{ key: "last" }]);
    expect(() => stores.postgresStore(pools[0]!, { table: "a; drop table b" })).toThrow(OptionError);
  });
});

describe("S3", () => {
  const fake = startFakeS3();
  afterAll(() => fake.stop());
  const clientOf = (accessKeyId: string) =>
    new AwsClient({ accessKeyId, secretAccessKey: "secret", service: "s3", region: "us-east-1", retries: 0 });
  conform((prefix) => {
    const client = clientOf("KEY");
    return [
      stores.s3Store(client, fake.url, { prefix: `${prefix}/` }),
      stores.s3Store(client, `${fake.url}/`, { prefix: `${prefix}/` }),
    ];
  });

  test("a refusal is told", async () => {
    const store = stores.s3Store(clientOf("OTHER"), fake.url);
    const error = await store.get("a").catch((error: unknown) => error);
    expect((error as Error).message).toMatch(/^127\.0\.0\.1:\d+: expected an answer, found 403 <Code>AccessDenied/);
  });
});
