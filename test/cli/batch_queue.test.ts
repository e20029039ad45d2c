/** `batch --queue`: workers that know nothing of each other give what one process gives, whatever ends meanwhile. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { dirname, join } from "node:path";
import { openStore } from "../../src/cli/open_store.ts";
import { removeTemporary } from "../session/small.ts";
import { POSTGRES, REDIS, type Service, startPostgres, startRedis, stopServices } from "../store/services.ts";
import { fileOf, type Json, lastingOf, linesOf, REQUESTS, requestOf, written } from "./batches.ts";
import { endChildren, good, lambent, start } from "./run.ts";

setDefaultTimeout(process.env.FULL ? 1_200_000 : 180_000);
afterEach(endChildren);
afterAll(async () => {
  await stopServices();
  removeTemporary();
});

const INTERRUPTED = 130;

let asked: Json[];
let wanted: ReturnType<typeof lastingOf>;
beforeAll(async () => {
  asked = Array.from({ length: REQUESTS }, (_, i) => requestOf(i));
  const { file, out } = fileOf(asked);
  await good(["batch", file, "--threads", "1"]);
  wanted = lastingOf(out);
});

const worker = (url: string) => start(["batch-worker", "--queue", url, "--threads", "1", "--parallel", "4"], "ignore");

describe.each([
  ["Redis", REDIS, startRedis],
  ["PostgreSQL", POSTGRES, startPostgres],
] as const)("%s", (name, program, startService) => {
  let service: Service;
  beforeAll(async () => {
    if (program) service = await startService();
  });

  for (const count of process.env.FULL ? [1, 2, 4] : [2]) {
    test.skipIf(!program)(
      `${count} workers, two of them killed midway: every result once, with the same bits`,
      async () => {
        const { file, out } = fileOf(asked);
        const workers = Array.from({ length: count }, () => worker(service.url));
        const batch = start(["batch", file, "--queue", service.url], "ignore");
        for (const done of [REQUESTS / 6, REQUESTS / 2]) {
          await written(batch, out, done);
          workers.shift()!.kill("SIGKILL");
          workers.push(worker(service.url));
        }
        expect(await new Response(batch.stderr).text()).toEndWith(`${REQUESTS} results are in ${out}\n`);
        expect(await batch.exited).toBe(0);
        expect(lastingOf(out)).toEqual(wanted);
        const signals = workers.map((_, i) => (i % 2 === 0 ? "SIGINT" : "SIGTERM"));
        for (const [i, child] of workers.entries()) child.kill(signals[i]);
        for (const [i, child] of workers.entries()) {
          expect(await child.exited).toBe(signals[i] === "SIGINT" ? INTERRUPTED : 0);
        }
      },
    );
  }

  // FULL=1 does these with both.
  const once = !program || (name !== "Redis" && !process.env.FULL);

  test.skipIf(once)("answers of a worker that is killed go on where they were kept", async () => {
    const body = { prompt: "Once", max_tokens: 6000, ignore_eos: true, temperature: 1 };
    const { file, out } = fileOf([{ custom_id: "long", method: "POST", url: "/v1/completions", body }]);
    await good(["batch", file, "--threads", "1"]);
    const whole = lastingOf(out);
    const again = join(dirname(out), "again.jsonl");
    const { store, close } = await openStore(service.url, "--queue");
    const keeping = () =>
      start(["batch-worker", "--queue", service.url, "--threads", "1", "--keep-seconds", "0.2"], "ignore");
    const kept = async () => (await store.list("answers/"))[0];
    const killed = keeping();
    const batch = start(["batch", file, "--queue", service.url, "--out", again], "ignore");
    const tokensKept = async () => {
      const { bytes = new Uint8Array() } = (await store.get((await kept()) ?? "none")) ?? {};
      return Buffer.from(bytes).toString("latin1").split('"logprob":').length - 1;
    };
    while ((await tokensKept()) < 500) await Bun.sleep(20);
    killed.kill("SIGKILL");
    const before = await tokensKept();
    const other = keeping();
    expect(await batch.exited).toBe(0);
    expect(before).toBeLessThan(6000);
    expect(lastingOf(again)).toEqual(whole);
    expect(await kept()).toBeUndefined();
    other.kill("SIGTERM");
    await other.exited;
    await close();
  });

  test.skipIf(once)(
    "a batch that was killed goes on when it is given again, with what was answered meanwhile",
    async () => {
      const { file, out } = fileOf(asked);
      const command = ["batch", file, "--queue", service.url];
      const killed = start(command, "ignore");
      const one = worker(service.url);
      await written(killed, out, REQUESTS / 6);
      killed.kill("SIGKILL");
      await killed.exited;
      const kept = linesOf(out);
      expect(kept.length).toBeLessThan(REQUESTS);
      await good(command);
      expect(linesOf(out).slice(0, kept.length)).toEqual(kept);
      expect(lastingOf(out)).toEqual(wanted);
      one.kill("SIGINT");
      expect(await new Response(one.stderr).text()).toEndWith("finishing what is being answered\n");
    },
  );
});

test("a place that is none, or does not answer, is refused by name", async () => {
  const { file } = fileOf([requestOf(0)]);
  for (const [place, message] of [
    ["jobs", "--queue: expected an address of redis, rediss, postgres, postgresql, found jobs"],
    [
      "redis://:secret@127.0.0.1:1",
      "--queue redis://127.0.0.1:1: expected a database that answers, found connect ECONNREFUSED 127.0.0.1:1",
    ],
    [
      "postgres://a:secret@127.0.0.1:1/b",
      "--queue postgres://127.0.0.1:1/b: expected a database that answers, found connect ECONNREFUSED 127.0.0.1:1",
    ],
  ] as const) {
    expect(await lambent(["batch-worker", "--queue", place])).toEqual({ code: 1, out: "", err: `error: ${message}\n` });
    expect((await lambent(["batch", file, "--queue", place])).err).toEndWith(`error: ${message}\n`);
  }
});
