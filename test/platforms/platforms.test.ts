/** That the platform suite can fail: places that hang, crash or differ. The runtimes themselves are not needed here. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { compare, type Outcome, type Visit } from "./conformance.ts";
import { readOptions } from "./options.ts";
import type { Place } from "./place.ts";
import type { Job, Report } from "./program/job.ts";
import { PlatformServer } from "./server.ts";
import { work } from "./work.ts";

let server: PlatformServer;
beforeAll(() => void (server = new PlatformServer()));
afterAll(() => server[Symbol.dispose]());

const JOB: Job = { program: "suite", options: { quick: true } };
const report = (url: string, report: Report) => fetch(url, { method: "POST", body: JSON.stringify(report) });

/** A place whose program is `run`. */
function place(run: (url: string) => Promise<string | undefined>): Place & { closed: number } {
  const about = { name: "here", title: "Here 1", threads: 1, directories: false } as const;
  const made = { ...about, closed: 0, open: async () => ({ run, close: async () => void made.closed++ }) };
  return made;
}

test("a job reaches the place, and its reports come back in order", async () => {
  const heard: unknown[] = [];
  const here = place(async (url) => {
    const job = await (await fetch(url)).json();
    for (const value of [1, 2]) await report(url, { kind: "progress", value });
    await report(url, { kind: "done", value: job });
    return undefined;
  });
  expect(await work<Job>(here, server, JOB, { onProgress: (value) => heard.push(value) })).toEqual(JOB);
  expect(heard).toEqual([1, 2]);
  expect(here.closed).toBe(1);
});

const never = new Promise<undefined>(() => {});
/** A program that reports, and then is as `end` says. */
const after = (said: Report, end: Promise<undefined>) => (url: string) => report(url, said).then(() => end);
const failures: [string, (url: string) => Promise<string | undefined>, RegExp][] = [
  ["hangs", () => never, /^here: expected a report within 0.05 s after its start, found none$/],
  ["hangs on its way", after({ kind: "progress", value: "one" }, never), /within 0.05 s after "one", found none$/],
  ["crashes", async () => "SIGSEGV: core dumped", /^here: ended after its start: SIGSEGV: core dumped$/],
  ["cannot be started", () => Promise.reject(new Error("no such page")), /^here: ended after its start: no such page$/],
  ["ends without a word", async () => undefined, /^here: ended after its start: no result$/],
  ["fails", after({ kind: "failed", value: "Error: it broke" }, never), /^here: Error: it broke$/],
  ["does not end", after({ kind: "done", value: 1 }, never), /^here: does not end by itself$/],
];
test.each(failures)("a place that %s is a failure, and is closed", async (_, run, expected) => {
  const here = place(run);
  const found = await work(here, server, JOB, { silence: 50, ending: 50 }).catch((error: Error) => error.message);
  expect(found).toMatch(expected);
  expect(here.closed).toBe(1);
});

const outcome = (place: string, name: string, value: unknown, more: Partial<Outcome> = {}): Outcome => ({
  ...{ place, name, same: name, value, seconds: 0 },
  ...more,
});
const visited = (place: string, ...outcomes: Outcome[]): Visit => ({ place, title: place, seconds: 0, outcomes });

test("a value that differs is a failure that names both places", () => {
  const bun = visited("bun", outcome("bun", "bits", { hash: "aa" }), outcome("bun", "text", 1));
  const deno = visited("deno", outcome("deno", "bits", { hash: "ab" }), outcome("deno", "text", 1));
  expect(compare([bun, bun, bun])).toEqual({ compared: 2, wrong: [] });
  const { compared, wrong } = compare([bun, deno]);
  expect(compared).toBe(2);
  expect(wrong).toEqual(['bits: bun (bits) and deno (bits) differ: …{"hash":"aa"}… and …{"hash":"ab"}…']);
});

test("cases of one name in `same` are compared within a place; absent and failed ones with nothing", () => {
  const same = { same: "bits" };
  const one = visited("bun", outcome("bun", "plain", 1, same), outcome("bun", "relaxed", 2, same));
  expect(compare([one]).wrong).toHaveLength(1);
  const absent = { ...same, absent: "no threads here" };
  const other = visited("bun", outcome("bun", "plain", 1, same), outcome("bun", "relaxed", undefined, absent));
  expect(compare([other]).wrong).toEqual([]);
});

test("a case that a place does not know is a failure, unless the place did not reach its end", () => {
  const whole = visited("bun", outcome("bun", "bits", 1), outcome("bun", "text", 1));
  const part = visited("deno", outcome("deno", "bits", 1));
  expect(compare([whole, part]).wrong).toEqual(["deno: expected the case text, found none"]);
  expect(compare([whole, { ...part, wrong: "deno: ended" }]).wrong).toEqual([]);
});

test("flags", () => {
  expect(readOptions([])).toMatchObject({ quick: false, speed: false });
  expect(readOptions([]).places).toHaveLength(7);
  expect(readOptions(["--quick", "--places", "bun,workerd"])).toMatchObject({
    quick: true,
    places: ["bun", "workerd"],
  });
  expect(() => readOptions(["--places", "opera"])).toThrow("--places: expected some of bun,");
  expect(() => readOptions(["--fast"])).toThrow("usage: ");
});

test("files are served by ranges, with isolation's headers on one of the two origins", async () => {
  server.serve("here", import.meta.dir);
  const ask = (isolated: boolean, file: string, range?: string) =>
    fetch(`${server.url(isolated)}here/${file}`, range ? { headers: { range } } : {});
  const part = await ask(false, "place.ts", "bytes=4-11");
  const text = await Bun.file(`${import.meta.dir}/place.ts`).text();
  expect([part.status, await part.text()]).toEqual([206, text.slice(4, 12)]);
  expect(part.headers.get("content-range")).toBe(`bytes 4-11/${text.length}`);
  expect(part.headers.get("cross-origin-opener-policy")).toBeNull();
  const whole = await ask(true, "place.ts");
  expect([whole.status, await whole.text()]).toEqual([200, text]);
  expect(whole.headers.get("cross-origin-opener-policy")).toBe("same-origin");
  expect((await ask(false, "place.ts", "bytes=999999-")).status).toBe(416);
  for (const file of ["nothing", "..%2Fsetup.ts", "../setup.ts"]) expect((await ask(false, file)).status).toBe(404);
});
