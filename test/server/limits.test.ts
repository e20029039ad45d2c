import { afterEach, expect, test } from "bun:test";
import { json, NAME, post, type Started, start, until } from "./serving.ts";

let started: Started | undefined;
afterEach(async () => {
  await started?.stop();
  started = undefined;
});

/** A request that goes on until it is told to end, and what was read of it. */
const ENDLESS = { model: NAME, prompt: "It was late", max_tokens: 100_000, stream: true, ignore_eos: true };

async function openStream(url: string): Promise<{ leave(): Promise<void> }> {
  const response = await post(`${url}/v1/completions`, ENDLESS);
  expect(response.status).toBe(200);
  const reader = response.body!.getReader();
  await reader.read();
  return { leave: () => reader.cancel() };
}

async function gauge(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(text.match(new RegExp(`^${name}\\{[^}]*\\} (.*)$`, "m"))![1]);
}

test("a client that leaves a stream frees its session, and so does one that gives up waiting for an answer", async () => {
  started = await start({ maxSessions: 1 }, { maxSessions: 1 });
  const { url, model } = started;
  const stream = await openStream(url);
  expect(await gauge(url, "lambent_sessions_open")).toBe(1);
  await stream.leave();
  await until(async () => (await gauge(url, "lambent_sessions_open")) === 0);
  const leaving = new AbortController();
  const whole = post(`${url}/v1/completions`, { ...ENDLESS, stream: false }, { signal: leaving.signal });
  await until(async () => (await gauge(url, "lambent_sessions_open")) === 1);
  leaving.abort();
  await whole.catch(() => {});
  await until(async () => (await gauge(url, "lambent_sessions_open")) === 0);
  // The engine's only slot is free too, not just the server's seat.
  await until(async () => {
    try {
      (await model.session()).dispose();
      return true;
    } catch {
      return false;
    }
  });
});

test("beyond the sessions requests wait, beyond the queue they get 429 with retry-after", async () => {
  started = await start({ maxSessions: 1, maxQueued: 1 }, { maxSessions: 1 });
  const { url } = started;
  const stream = await openStream(url);
  const short = { model: NAME, prompt: "A", max_tokens: 2, temperature: 0 };
  const waiting = post(`${url}/v1/completions`, short);
  await until(async () => (await gauge(url, "lambent_requests_waiting")) === 1);
  const refused = await post(`${url}/v1/completions`, short);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect((await json(refused)).error).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded" });
  await stream.leave();
  expect((await json(waiting)).choices[0].finish_reason).toBe("length");
});

test("who leaves the queue does not come to his turn", async () => {
  started = await start({ maxSessions: 1, maxQueued: 2 }, { maxSessions: 1 });
  const { url } = started;
  const stream = await openStream(url);
  const leaving = new AbortController();
  const gone = post(`${url}/v1/completions`, ENDLESS, { signal: leaving.signal }).catch(() => undefined);
  await until(async () => (await gauge(url, "lambent_requests_waiting")) === 1);
  leaving.abort();
  await gone;
  await until(async () => (await gauge(url, "lambent_requests_waiting")) === 0);
  // The same once its stream has started, without an event so far, where only the stream tells.
  const waiting = await started.server.fetch(
    new Request(`${url}/v1/completions`, { method: "POST", body: JSON.stringify(ENDLESS) }),
  );
  expect(await gauge(url, "lambent_requests_waiting")).toBe(1);
  await waiting.body!.cancel();
  await until(async () => (await gauge(url, "lambent_requests_waiting")) === 0);
  await stream.leave();
  await until(async () => (await gauge(url, "lambent_sessions_open")) === 0);
});

test("an answer ends with the time that it may take, even if nobody reads it", async () => {
  started = await start({ maxSessions: 1, maxSeconds: 1 }, { maxSessions: 1 });
  const { url } = started;
  const whole = await json(post(`${url}/v1/completions`, { ...ENDLESS, stream: false }));
  expect(whole.choices[0].finish_reason).toBe("length");
  expect(whole.choices[0].text).not.toBe("");
  // A body that is never read.
  const unread = await started.server.fetch(
    new Request(`${url}/v1/completions`, { method: "POST", body: JSON.stringify(ENDLESS) }),
  );
  expect(await gauge(url, "lambent_sessions_open")).toBe(1);
  await until(async () => (await gauge(url, "lambent_sessions_open")) === 0);
  expect((await unread.text()).slice(-600)).toContain('"finish_reason":"length"');
});

test("bodies that are too large or too slow are refused, and others are served meanwhile", async () => {
  started = await start({ maxBodyBytes: 1000, maxBodyMs: 200 });
  const { url } = started;
  const large = await post(`${url}/v1/completions`, { prompt: "a".repeat(2000) });
  expect(large.status).toBe(413);
  const untold = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(600));
    },
  });
  const streamed = await started.server.fetch(
    new Request(`${url}/v1/completions`, { method: "POST", body: untold, duplex: "half" } as RequestInit),
  );
  expect(streamed.status).toBe(413);
  const slow = started.server.fetch(
    new Request(`${url}/v1/completions`, {
      ...{ method: "POST", duplex: "half" },
      body: new ReadableStream({ start: (controller) => controller.enqueue(Uint8Array.of(123)) }),
    } as RequestInit),
  );
  expect((await json(post(`${url}/v1/completions`, { prompt: "A", max_tokens: 1 }))).choices.length).toBe(1);
  expect((await slow).status).toBe(408);
});

test("a key is asked for where there is one, but not for health; pages of other origins are not let in", async () => {
  started = await start({ apiKeys: ["one", "two"] });
  const { url } = started;
  const status = async (headers: Record<string, string>) => (await fetch(`${url}/v1/models`, { headers })).status;
  expect(await status({})).toBe(401);
  expect(await status({ authorization: "Bearer three" })).toBe(401);
  expect(await status({ authorization: "Bearer two" })).toBe(200);
  expect(await status({ "x-api-key": "one" })).toBe(200);
  expect((await fetch(`${url}/health`)).status).toBe(200);
  const preflight = async (origin: string) => {
    const headers = {
      ...{ origin, "access-control-request-method": "POST" },
      "access-control-request-headers": "authorization,x-stainless-os",
    };
    const response = await fetch(`${url}/v1/chat/completions`, { method: "OPTIONS", headers });
    return [
      response.headers.get("access-control-allow-origin"),
      response.headers.get("access-control-allow-headers"),
    ] as const;
  };
  expect(await preflight("http://localhost:3000")).toEqual(["http://localhost:3000", "authorization,x-stainless-os"]);
  expect((await preflight("https://elsewhere.example"))[0]).toBeNull();
});

test("draining: what is being answered is finished, new requests get 503, health says so", async () => {
  started = await start();
  const { url, server } = started;
  const body = { model: NAME, prompt: "It was late", max_tokens: 60, temperature: 0, ignore_eos: true };
  const wanted = (await json(post(`${url}/v1/completions`, body))).choices;
  const answer = post(`${url}/v1/completions`, body);
  await until(async () => (await gauge(url, "lambent_sessions_open")) === 1);
  const drained = server.drain();
  const refused = await post(`${url}/v1/completions`, body);
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).not.toBeNull();
  expect((await fetch(`${url}/health`)).status).toBe(503);
  expect((await json(answer)).choices).toEqual(wanted);
  await drained;
});

test("an engine that has ended: 503 and nothing else, and health says so", async () => {
  started = await start();
  const { url, model } = started;
  expect(await json(fetch(`${url}/health`))).toEqual({ status: "ok" });
  model.dispose();
  expect((await fetch(`${url}/health`)).status).toBe(503);
  for (const stream of [true, false])
    expect((await post(`${url}/v1/completions`, { prompt: "A", stream })).status).toBe(503);
});

test("answers in company are those that each gets alone, while others abort or are refused", async () => {
  started = await start({ maxSessions: 8 }, { maxSessions: 8 });
  const { url } = started;
  const bodies = Array.from({ length: 24 }, (_, i) => {
    return { model: NAME, prompt: `Chapter ${i}.`, max_tokens: 3 + ((i * 7) % 25), temperature: 0.9, seed: i };
  });
  const say = async (body: object) => (await json(post(`${url}/v1/completions`, body))).choices;
  const alone: unknown[] = [];
  for (const body of bodies) alone.push(await say(body));
  const disturbing = bodies.map(async (body, i) => {
    if (i % 2) return (await post(`${url}/v1/completions`, { ...body, n: 3 })).status === 400;
    const leaving = new AbortController();
    setTimeout(() => leaving.abort(), 5 * i);
    await post(`${url}/v1/completions`, { ...ENDLESS, stream: i % 4 === 0 }, { signal: leaving.signal })
      .then((response) => response.text())
      .catch(() => {});
    return true;
  });
  expect(await Promise.all(bodies.map(say))).toEqual(alone);
  expect((await Promise.all(disturbing)).every(Boolean)).toBe(true);
  await until(async () => (await gauge(url, "lambent_sessions_open")) === 0);
});
