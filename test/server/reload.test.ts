/** An engine that ends is loaded again. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Model as LoadedModel } from "../../src/entry/index.ts";
import { createServer } from "../../src/entry/server.ts";
import { bun } from "../../src/runtime/bun.ts";
import type { EngineThread } from "../../src/runtime/types.ts";
import { loadRemotely } from "../../src/session/load.ts";
import { Model } from "../../src/session/model.ts";
import { endChildren, readUntil } from "../cli/run.ts";
import { EMBEDDED, removeTemporary, temporaryFolder } from "../session/small.ts";
import { ROOT } from "../setup.ts";
import { type Json, json, post, until } from "./serving.ts";

afterEach(endChildren);
afterAll(removeTemporary);

const BODY = { prompt: "It was late", max_tokens: 8, seed: 1 };
const ENDLESS = { ...BODY, max_tokens: 100_000, ignore_eos: true };

/** A model in a worker, and the worker. */
async function loadWatched(): Promise<{ model: LoadedModel; thread: EngineThread }> {
  let thread: EngineThread | undefined;
  const startEngine = () => (thread = bun.startEngine());
  const loaded = await loadRemotely(EMBEDDED, { threads: 1, maxSessions: 4 }, { ...bun, startEngine });
  return { model: new Model("story", loaded), thread: thread as EngineThread };
}

/** A server whose engine can be ended; what it loads again is what `next` gives. */
async function startWatched() {
  let current = await loadWatched();
  const asked: string[] = [];
  const next: (() => Promise<void>)[] = [];
  const server = createServer(
    { story: current.model },
    {
      maxSessions: 4,
      async reload(name, { message }) {
        asked.push(`${name}: ${message}`);
        await next.shift()?.();
        current = await loadWatched();
        return current.model;
      },
    },
  );
  const ask = (path: string, body?: object) => {
    const init = body ? { method: "POST", body: JSON.stringify(body) } : {};
    return server.fetch(new Request(`http://x${path}`, init));
  };
  return {
    ...{ ask, asked, next, server },
    end: () => current.thread.terminate(),
    stop: () => current.model.dispose(),
    healthy: () => until(async () => (await ask("/health")).status === 200),
  };
}

test("what is being answered gets an error, then 503 with retry-after, until the model is loaded again, once", async () => {
  const { ask, asked, next, end, stop, healthy } = await startWatched();
  const wanted = (await json(ask("/v1/completions", BODY))).choices;
  const loaded = Promise.withResolvers<void>();
  next.push(() => loaded.promise);
  const stream = (await ask("/v1/completions", { ...ENDLESS, stream: true })).body!.getReader();
  await readUntil(stream, (text) => text.includes("data: "));
  const others = [
    ask("/v1/completions", ENDLESS),
    ask("/v1/chat/completions", { messages: [{ role: "user", content: "a" }], max_tokens: 1e5, ignore_eos: true }),
  ];
  await until(async () => /^lambent_sessions_open\{.*\} 3$/m.test(await (await ask("/metrics")).text()));
  end();
  expect(await readUntil(stream, () => false)).toContain('"error":{"message":"the engine has ended');
  for (const response of await Promise.all(others)) {
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect((await json(response)).error).toMatchObject({ type: "overloaded_error", code: "loading" });
  }
  for (const response of [
    await ask("/v1/completions", BODY),
    await ask("/v1/completions", { ...BODY, stream: true }),
    await ask("/v1/embeddings", { input: "a" }),
  ])
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
  expect([(await ask("/health")).status, await json(ask("/health"))]).toEqual([503, { status: "loading model" }]);
  expect((await ask("/metrics")).status).toBe(200);
  // What needs no engine is answered.
  expect((await json(ask("/tokenize", { content: "a" }))).tokens.length).toBe(1);
  loaded.resolve();
  await healthy();
  expect((await json(ask("/v1/completions", BODY))).choices).toEqual(wanted);
  expect(asked).toEqual(["story: the engine's worker ended"]);
  expect(await (await ask("/metrics")).text()).toMatch(/^lambent_engine_reloads_total\{.*\} 1$/m);
  stop();
});

test("a load that fails is tried again; an idle server hears of it by /health; a server that drains loads no more", async () => {
  const { ask, asked, next, end, stop, healthy, server } = await startWatched();
  next.push(() => Promise.reject(new Error("no memory")));
  end();
  await healthy();
  expect(asked).toEqual(["story: the engine's worker ended", "story: no memory"]);
  expect((await ask("/v1/embeddings", { input: "a" })).status).toBe(200);
  await server.drain();
  end();
  await until(async () => (await ask("/health")).status === 503);
  expect(await json(ask("/health"))).toEqual({ status: "shutting down" });
  expect(asked.length).toBe(2);
  stop();
});

test("lambent serve loads its model again, and says so", async () => {
  // Nothing but this reaches the worker from outside.
  const preload = join(temporaryFolder(), "preload.ts");
  const code = `const workers = [];
    globalThis.Worker = class extends Worker { constructor(...args) { super(...args); workers.push(this); } };
    process.on("SIGUSR2", () => workers.forEach((worker) => worker.terminate()));`;
  writeFileSync(preload, code);
  const args = ["--preload", preload, "src/cli/main.ts", "serve", "--port", "0", "--threads", "1", "--log", "none"];
  const child = Bun.spawn([process.execPath, ...args], { cwd: ROOT, stdin: "ignore", stderr: "pipe" });
  try {
    const errors = child.stderr.getReader();
    const url = (await readUntil(errors, (text) => /^listening on .*\n/m.test(text))).match(/http\S+/)![0];
    const say = async (): Promise<Json> => (await json(post(`${url}/v1/completions`, BODY))).choices;
    const wanted = await say();
    child.kill("SIGUSR2");
    await until(async () => (await fetch(`${url}/health`)).status === 503);
    const said = await readUntil(errors, (text) => text.includes("loaded again"));
    expect(said).toBe("the engine's worker ended; loading the model again\nthe model is loaded again\n");
    await until(async () => (await fetch(`${url}/health`)).status === 200);
    expect(await say()).toEqual(wanted);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    child.kill("SIGKILL");
  }
});
