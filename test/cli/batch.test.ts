/** `batch`: every result once, with the bits that the request has alone, whatever ends meanwhile. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { BatchWorkers } from "../../src/cli/batch_workers.ts";
import { EMBEDDED, removeTemporary } from "../session/small.ts";
import { fileOf, type Json, lastingOf, linesOf, REQUESTS, requestOf, resultsOf, written } from "./batches.ts";
import { endChildren, good, lambent, start } from "./run.ts";

const NOTHING_LEFT = "nothing is left to answer (--out names another file)\n";

setDefaultTimeout(process.env.FULL ? 1_200_000 : 120_000);
afterEach(endChildren);
afterAll(removeTemporary);

const INTERRUPTED = 130;
const ENDLESS = { prompt: "a", max_tokens: 1e9, ignore_eos: true };

function childrenOf(pid: number): number[] {
  const { stdout } = Bun.spawnSync(["pgrep", "-P", `${pid}`]);
  return stdout.toString().split("\n").filter(Boolean).map(Number);
}

const commandOf = (pid: number) => Bun.spawnSync(["ps", "-o", "stat=,args=", "-p", `${pid}`]).stdout.toString();
/** A process that was not waited for stays, as a zombie. */
const isRunning = (pid: number) => /^[^Z]/.test(commandOf(pid));
const isBatchWorker = (pid: number) => commandOf(pid).includes("batch_worker.ts");

let asked: Json[];
/** The results of one process that nothing happens to. */
let wanted: ReturnType<typeof lastingOf>;
beforeAll(async () => {
  asked = Array.from({ length: REQUESTS }, (_, i) => requestOf(i));
  const { file, out } = fileOf(asked);
  const { err } = await good(["batch", file, "--threads", "1"]);
  expect(err).toBe(`${REQUESTS} results are in ${out}\n`);
  wanted = lastingOf(out);
});

test("a result is what OpenAI's batches have, and the text does not depend on company", async () => {
  expect(wanted.length).toBe(REQUESTS);
  for (const [id, { response, error }] of wanted) expect([id, response.status_code, error]).toEqual([id, 200, null]);
  const some = [asked[10], asked[3], asked[0], asked[1], asked[2]];
  const { file, out } = fileOf(some);
  await good(["batch", file, "--parallel", "1"]);
  expect(lastingOf(out)).toEqual(wanted.filter(([id]) => some.some(({ custom_id }) => custom_id === id)));
  const { id, custom_id, response } = resultsOf(out).get("request 1");
  expect({ id, custom_id, request: response.request_id }).toEqual({
    id: expect.stringMatching(/^batch_req_\w+$/),
    custom_id: "request 1",
    request: expect.stringMatching(/^req_\w+$/),
  });
  expect(response.body).toMatchObject({ object: "chat.completion", choices: [{ message: { role: "assistant" } }] });
  // Without a seed, another name draws other numbers.
  const { custom_id: name, ...rest } = asked[4];
  const named = fileOf([asked[4], { ...rest, custom_id: "another" }]);
  await good(["batch", named.file]);
  const [own, other] = [name, "another"].map((id) => resultsOf(named.out).get(id).response.body.choices[0].text);
  expect(own).not.toBe(other);
});

for (const workers of process.env.FULL ? [2, 4] : [2]) {
  test(`${workers} workers, two of them killed midway: every result once, with the same bits`, async () => {
    const { file, out } = fileOf(asked);
    const child = start(["batch", file, "--workers", `${workers}`, "--parallel", "4"], "ignore");
    const killed = new Set<number>();
    for (const count of [REQUESTS / 6, REQUESTS / 2]) {
      await written(child, out, count);
      const worker = childrenOf(child.pid).find((pid) => !killed.has(pid)) as number;
      process.kill(worker, "SIGKILL");
      killed.add(worker);
    }
    expect(linesOf(out).length).toBeLessThan(REQUESTS);
    expect(await new Response(child.stderr).text()).toBe(`${REQUESTS} results are in ${out}\n`);
    expect(await child.exited).toBe(0);
    expect(lastingOf(out)).toEqual(wanted);
  });
}

test("killed, cut off and interrupted, it goes on when it is given again", async () => {
  const { file, out } = fileOf(asked);
  const command = ["batch", file, "--parallel", "4"];
  const workers = [...command, "--workers", "2"];
  const killed = start(workers, "ignore");
  await written(killed, out, REQUESTS / 6);
  killed.kill("SIGKILL");
  await killed.exited;
  let kept = linesOf(out);
  // As if the machine had stopped within a line.
  const cut = kept[0]!.replace(/"custom_id":"[^"]*"/, '"custom_id":"request 59"').slice(0, -1);
  writeFileSync(out, `${kept.join("\n")}\n${cut}`);
  for (const again of [command, workers]) {
    const interrupted = start(again, "ignore");
    await written(interrupted, out, kept.length + 5);
    interrupted.kill("SIGINT");
    const said = await new Response(interrupted.stderr).text();
    expect(await interrupted.exited).toBe(INTERRUPTED);
    const now = linesOf(out);
    expect(now.slice(0, kept.length)).toEqual(kept);
    expect(said).toBe(`${now.length} of ${REQUESTS} results are in ${out}; the same command goes on from there\n`);
    kept = now;
  }
  await good(command);
  expect(linesOf(out).slice(0, kept.length)).toEqual(kept);
  expect(lastingOf(out)).toEqual(wanted);
  // There is nothing left to do, and so nothing is loaded.
  expect((await good([...command, "-m", "/nonexistent"])).err).toBe(
    `${NOTHING_LEFT}${REQUESTS} results are in ${out}\n`,
  );
});

test("workers end with the process that has started them, whatever they are at", async () => {
  const endless = { custom_id: "endless", method: "POST", url: "/v1/completions", body: ENDLESS };
  const { file, out } = fileOf([endless, ...asked.slice(0, 4)]);
  const child = start(["batch", file, "--workers", "2"], "ignore");
  await written(child, out, 4);
  const workers = childrenOf(child.pid);
  expect(workers.length).toBe(2);
  child.kill("SIGKILL");
  while (workers.some(isRunning)) await Bun.sleep(10);
});

test("a request that processes end with, again and again, is an error, and others are not", async () => {
  const pool = new BatchWorkers(2, {
    ...{ where: EMBEDDED, names: ["story"], parallel: 2, maxNewTokens: 10, loading: { threads: 1 } },
  });
  try {
    let outcome: unknown;
    pool.answer({ url: "/v1/completions", body: ENDLESS }).then((ended) => {
      outcome = ended;
    });
    while (outcome === undefined) {
      const short = await pool.answer({ url: "/v1/completions", body: { prompt: "b", max_tokens: 1 } });
      expect(short).toMatchObject({ status: 200 });
      for (const pid of childrenOf(process.pid).filter(isBatchWorker)) process.kill(pid, "SIGKILL");
      await Bun.sleep(1); // for the ends to be heard
    }
    expect(outcome).toEqual({ code: "worker_ended", message: "3 processes ended with this request: SIGKILL" });
  } finally {
    pool.close();
  }
  expect(pool.answer({ url: "/v1/completions", body: {} })).rejects.toThrow("the batch was closed");
});

test("a bad line is a result of its own, as is what a route refuses", async () => {
  const { custom_id: _, ...unnamed } = requestOf(0);
  const lines = [
    requestOf(0),
    "",
    "{",
    "7",
    unnamed,
    { ...requestOf(1), method: "GET" },
    { ...requestOf(2), url: "/v1/images" },
    { ...requestOf(3), body: [] },
    { ...requestOf(4), body: { prompt: "a", stream: true } },
    { ...requestOf(5), body: { messages: [{ role: "user", content: "a" }], temperature: -1 } },
    { ...requestOf(6), body: { model: "gpt-0", input: "a" } },
  ];
  const { file, out } = fileOf(lines);
  const { err } = await good(["batch", file, "--workers", "2"]);
  expect(err).toBe(`10 results, 9 of them errors, are in ${out}\n`);
  const results = linesOf(out).map((line) => JSON.parse(line));
  const faults = results.filter(({ error }) => error).map(({ custom_id, error }) => [custom_id, error.message]);
  expect(faults.sort(([, a], [, b]) => Number(a.match(/\d+/)) - Number(b.match(/\d+/)))).toEqual([
    [null, expect.stringMatching(/^line 3: expected JSON, found /)],
    [null, "line 4: expected an object, found 7"],
    [null, "line 5: custom_id: expected a string, found undefined"],
    ["request 1", "line 6: method: expected POST, found GET"],
    ["request 2", expect.stringMatching(/^line 7: url: expected \/v1\/chat\/completions, .*, found \/v1\/images$/)],
    ["request 3", "line 8: body: expected an object, found []"],
    ["request 4", "line 9: body.stream: expected none, as results are whole, found true"],
  ]);
  expect(results.find(({ error }) => error?.line === 9).error).toEqual({
    code: "invalid_request",
    message: "line 9: body.stream: expected none, as results are whole, found true",
    param: "body.stream",
    line: 9,
  });
  const byId = new Map(results.map((result) => [result.custom_id, result]));
  expect(byId.get("request 0").response.status_code).toBe(200);
  expect(byId.get("request 5").response).toMatchObject({ status_code: 400, body: { error: { param: "temperature" } } });
  expect(byId.get("request 6").response).toMatchObject({
    status_code: 404,
    body: { error: { code: "model_not_found" } },
  });
  // They are known again.
  expect((await good(["batch", file])).err).toBe(`${NOTHING_LEFT}${err}`);
});

test("names that results would be confused by, and results of something else, are refused", async () => {
  const twice = fileOf([requestOf(0), requestOf(1), { ...requestOf(2), custom_id: "request 0" }]);
  expect(await lambent(["batch", twice.file])).toEqual({
    code: 1,
    out: "",
    err: `error: ${twice.file}: line 3: custom_id: expected one that line 1 does not have, found request 0\n`,
  });
  expect(existsSync(twice.out)).toBe(false);
  const { file, out } = fileOf([requestOf(0)]);
  for (const other of ["notes", JSON.stringify({ custom_id: "request 1", response: null, error: null })]) {
    writeFileSync(out, `${other}\n`);
    expect((await lambent(["batch", file])).err).toMatch(/line 1: expected results of this batch, each once/);
    expect(readFileSync(out, "utf8")).toBe(`${other}\n`);
  }
  expect((await lambent(["batch", "/nonexistent.jsonl"])).err).toBe(
    "error: /nonexistent.jsonl: expected a readable file, found ENOENT\n",
  );
  writeFileSync(out, "");
  const missing = await lambent(["batch", file, "--workers", "2", "-m", "/nonexistent"]);
  expect(missing.code).toBe(1);
  expect(missing.err).toMatch(/^0 of 1 results are in .*\nerror: .*nonexistent/);
});
