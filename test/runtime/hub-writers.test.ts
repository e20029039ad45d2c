/** Several writers of one file, at once or one after another. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, rmSync, utimesSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type Fault, type HubServer, sha256 } from "./hub-server.ts";
import { bytes, Setup, WEIGHTS } from "./hub-setup.ts";

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

const child = (hub: HubServer) => {
  const file = JSON.stringify(new URL("../../src/sources/hub.ts", import.meta.url).href);
  const options = JSON.stringify({ endpoint: hub.endpoint, cacheDir: s.cache });
  const code = `const { downloadModel } = await import(${file}); await downloadModel("org/name", ${options});`;
  return Bun.spawn([process.execPath, "-e", code], { stdout: "ignore", stderr: "pipe" });
};

test("a killed process leaves its bytes to the next one", async () => {
  fault({ stall: 7000 });
  const process = child(s.hub);
  await until(() => s.parts().some((name) => s.size(name) === 7000));
  process.kill("SIGKILL");
  await process.exited;
  s.hub.seen.length = 0;
  await s.download();
  expect(s.ranges(WEIGHTS)).toEqual(["bytes=7000-"]);
  expect(s.read(WEIGHTS)).toEqual(RIGHT);
  expect(s.parts()).toEqual([]);
}, 30_000);

test("processes that fetch the same at once do not disturb each other", async () => {
  s.hub.repos["org/name"]!.files[WEIGHTS] = bytes(200_000);
  fault(...many({ slow: 1 }));
  const processes = [child(s.hub), child(s.hub), child(s.hub)];
  const own = [s.download(), s.download()];
  for (const process of processes) {
    expect([await process.exited, await new Response(process.stderr).text()]).toEqual([0, ""]);
  }
  await Promise.all(own);
  expect(s.read(WEIGHTS)).toEqual(bytes(200_000));
  expect(s.parts()).toEqual([]);
}, 30_000);

test("a part that Python left is taken up; one that Python may be writing is copied", async () => {
  for (const age of [3600, 0]) {
    const part = s.path("blobs", `${OID}.incomplete`);
    await Bun.write(part, RIGHT.subarray(0, 6000));
    utimesSync(part, Date.now() / 1000 - age, Date.now() / 1000 - age);
    s.hub.seen.length = 0;
    await s.download();
    expect(s.ranges(WEIGHTS)).toEqual(["bytes=6000-"]);
    expect(existsSync(part)).toBe(age === 0);
    rmSync(s.path(), { recursive: true });
  }
});

test("a part of a writer that lives is left alone, one of a writer with a reused number is not", async () => {
  const host = sha256(new TextEncoder().encode(hostname())).slice(0, 8);
  const part = (pid: number) => s.path("blobs", `${OID}.${host}-${pid}-0123abcd.incomplete`);
  await Bun.write(part(process.ppid), RIGHT.subarray(0, 9000));
  await Bun.write(part(process.pid), RIGHT.subarray(0, 6000));
  await s.download();
  expect(s.ranges(WEIGHTS)).toEqual(["bytes=6000-"]);
  expect([existsSync(part(process.ppid)), existsSync(part(process.pid))]).toEqual([true, false]);
});
