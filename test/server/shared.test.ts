/** Servers that share a store: what one has begun another goes on with, and a store that fails costs no answer. */
import { afterEach, expect, test } from "bun:test";
import type { SessionStore } from "../../src/entry/server.ts";
import { WatchedStore } from "../../src/server/watched_store.ts";
import type { PutOptions } from "../../src/store/store.ts";
import { type Json, json, NAME, post, type Started, start, until } from "./serving.ts";

const running: Started[] = [];
afterEach(async () => {
  for (const started of running.splice(0)) await started.stop();
});

async function startOver(store: SessionStore, log?: (entry: object) => void): Promise<Started> {
  const started = await start({ store, ...(log ? { log } : {}) });
  running.push(started);
  return started;
}

/** A store in memory that does what a test needs. */
class TestStore implements SessionStore {
  readonly values = new Map<string, { bytes: Uint8Array; version: string }>();
  readonly looked: string[] = [];
  down = false;
  conflict = false;
  /** Puts of keys that start so wait. */
  held: { readonly prefix: string; readonly until: Promise<void> } | undefined;
  #count = 0;

  async get(key: string) {
    this.#use();
    this.looked.push(key);
    return this.values.get(key);
  }

  async put(key: string, bytes: Uint8Array, { ifVersion }: PutOptions = {}) {
    if (this.held && key.startsWith(this.held.prefix)) await this.held.until;
    this.#use();
    if (this.conflict && ifVersion !== undefined) return undefined;
    this.values.set(key, { bytes: bytes.slice(), version: `${++this.#count}` });
    return `${this.#count}`;
  }

  async delete(key: string) {
    this.#use();
    return this.values.delete(key);
  }

  async list() {
    return [...this.values.keys()];
  }

  #use(): void {
    if (this.down) throw new Error("connect ECONNREFUSED");
  }
}

const greedy = { model: NAME, temperature: 0, max_output_tokens: 8 };
const respond = (server: Started, body: object) => json(post(`${server.url}/v1/responses`, { ...greedy, ...body }));
const said = (response: Json): string => response.output[0].content[0].text;
const chat = (server: Started, messages: object[], more: object = {}) =>
  json(post(`${server.url}/v1/chat/completions`, { model: NAME, temperature: 0, max_tokens: 8, messages, ...more }));
const cached = (completion: Json): number => completion.usage.prompt_tokens_details.cached_tokens;
const user = (content: string) => ({ role: "user", content });

async function errorsOf({ url }: Started, operation: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(text.match(new RegExp(`^lambent_store_errors_total\\{operation="${operation}"\\} (\\d+)$`, "m"))?.[1]);
}

test("what one server has answered another goes on with, reading only what is new", async () => {
  const store = new TestStore();
  const [one, other] = [await startOver(store), await startOver(store)];
  const first = await respond(one, { input: "Who is there?", instructions: "A tale." });
  expect(first.store).toBe(true);
  const second = await respond(other, { input: "Why?", instructions: "A tale.", previous_response_id: first.id });
  const whole = [
    ...[{ role: "system", content: "A tale." }, user("Who is there?")],
    ...[{ role: "assistant", content: said(first) }, user("Why?")],
  ];
  expect(said(second)).toBe(await one.model.generate(whole, { temperature: 0, maxNewTokens: 8 }).text());
  expect(second.usage.input_tokens_details.cached_tokens).toBeGreaterThan(first.usage.input_tokens / 2);
  // Each response has the whole conversation.
  expect((await fetch(`${one.url}/v1/responses/${first.id}`, { method: "DELETE" })).status).toBe(200);
  expect((await fetch(`${other.url}/v1/responses/${first.id}`)).status).toBe(404);
  const third = await respond(one, { input: "So?", previous_response_id: second.id });
  expect(third.usage.input_tokens).toBeGreaterThan(second.usage.input_tokens);
  expect((await fetch(`${other.url}/v1/responses/${"a%2F..%2F%00"}`)).status).toBe(404);
});

test("a chat that is sent whole is found by its last turns, or else by its system turn", async () => {
  const store = new TestStore();
  const [one, other] = [await startOver(store), await startOver(store)];
  const system = { role: "system", content: "The captain and his sister sat in the small room, and spoke of the sea." };
  const begun = await chat(one, [system, user("Who?")]);
  expect(cached(begun)).toBe(0);
  const answer = begun.choices[0].message;
  const long = Array.from({ length: 12 }, (_, i) => ({ role: i % 2 ? "user" : "assistant", content: `It is ${i}.` }));
  store.looked.length = 0;
  const found = await chat(other, [system, user("Who?"), answer, user("Why?")]);
  expect(cached(found)).toBeGreaterThan(begun.usage.prompt_tokens / 2);
  expect(store.looked.length).toBeLessThanOrEqual(3);
  store.looked.length = 0;
  const third = await startOver(store);
  expect(cached(await chat(third, [system, user("When?"), ...long]))).toBeGreaterThan(10);
  expect(store.looked.length).toBe(9);
});

test("store: false looks for states and leaves none", async () => {
  const store = new TestStore();
  const server = await startOver(store);
  await chat(server, [user("Who?")], { store: false });
  expect((await respond(server, { input: "Who?", store: false })).store).toBe(false);
  expect(store.values.size).toBe(0);
  await chat(server, [user("Who?")]);
  const kept = store.values.size;
  expect(kept).toBeGreaterThan(0);
  expect(cached(await chat(server, [user("Who?")], { store: false }))).toBeGreaterThan(0);
  expect(store.values.size).toBe(kept);
});

test("a store that is down: answers are given and say that they are not kept, what needs it gets 503 by name", async () => {
  const store = new TestStore();
  const log: Json[] = [];
  const server = await startOver(store, (entry) => log.push(entry));
  const first = await respond(server, { input: "Who is there?" });
  const alone = said(first);
  store.down = true;
  const second = await respond(server, { input: "Who is there?" });
  expect([said(second), second.status, second.store]).toEqual([alone, first.status, false]);
  const other = await chat(server, [user("What for?")]);
  const options = { temperature: 0, maxNewTokens: 8 };
  expect(other.choices[0].message.content).toBe(await server.model.generate([user("What for?")], options).text());
  expect(await errorsOf(server, "put")).toBeGreaterThanOrEqual(1);
  expect(await errorsOf(server, "get")).toBeGreaterThanOrEqual(1);
  expect(log).toContainEqual({ event: "store", operation: "put", error: "connect ECONNREFUSED" });
  for (const method of ["GET", "DELETE"]) {
    const refused = await fetch(`${server.url}/v1/responses/${first.id}`, { method });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  }
  const { error } = await respond(server, { input: "Why?", previous_response_id: first.id });
  expect(error).toMatchObject({
    ...{ type: "overloaded_error", code: "store_unavailable" },
    message: "the session store failed (get)",
  });
  store.down = false;
  expect((await respond(server, { input: "Why?", previous_response_id: first.id })).store).toBe(true);
});

test("a call that hangs is given up", async () => {
  const faults: string[] = [];
  const never = new Promise<never>(() => {});
  const hanging = { get: () => never, put: () => never, delete: () => never, list: () => never };
  const watched = new WatchedStore(hanging, ({ operation, error }) => faults.push(`${operation} ${error}`), 1);
  for (const call of [() => watched.get("a"), () => watched.put("a", new Uint8Array()), () => watched.delete("a")])
    expect((await call().catch((error: Error) => error)) instanceof Error).toBe(true);
  expect(faults).toEqual(["get no answer in 1 ms", "put no answer in 1 ms", "delete no answer in 1 ms"]);
});

test("a lost race is 409", async () => {
  const store = new TestStore();
  const server = await startOver(store);
  store.conflict = true;
  const refused = await post(`${server.url}/v1/responses`, { ...greedy, input: "Who?" });
  expect(refused.status).toBe(409);
  expect((await json(refused)).error).toMatchObject({ code: "conflict" });
});

test("a state that is damaged, or of another model, is read again", async () => {
  const store = new TestStore();
  const one = await startOver(store);
  const begun = await chat(one, [user("Who?")]);
  for (const [key, { bytes }] of store.values) {
    expect(key).toMatch(/^states\/[0-9a-f]{64}$/);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  }
  const other = await startOver(store);
  const again = await chat(other, [user("Who?")]);
  expect([again.choices, cached(again)]).toEqual([begun.choices, 0]);
});

test.each(["states/", "responses/"])("a server that drains ends when the store has all %s", async (prefix) => {
  const store = new TestStore();
  const server = await startOver(store);
  const { promise, resolve: release } = Promise.withResolvers<void>();
  store.held = { prefix, until: promise };
  const response = respond(server, { input: "Who?", max_output_tokens: 300, ignore_eos: true });
  let drained = false;
  await until(() => active(server));
  const draining = server.server.drain().then(() => {
    drained = true;
  });
  await until(async () => !(await active(server)));
  await Bun.sleep(50);
  expect([drained, (await store.list()).some((key) => key.startsWith(prefix))]).toEqual([false, false]);
  release();
  await draining;
  expect((await store.list()).some((key) => key.startsWith(prefix))).toBe(true);
  expect(await store.list()).toContain(`responses/${(await response).id}`);
});

/** Whether a request has a session. */
async function active({ url }: Started): Promise<boolean> {
  return /^lambent_sessions_open\{[^}]*\} [1-9]/m.test(await (await fetch(`${url}/metrics`)).text());
}

test("an answer that a server's end cut off: another one that is asked the same goes on with it; only with a seed", async () => {
  const answers = new TestStore();
  const body = {
    model: NAME,
    max_tokens: 60,
    temperature: 1,
    seed: 5,
    logprobs: true,
    top_logprobs: 2,
    ignore_eos: true,
  };
  const messages = [{ role: "user", content: "Who came?" }];
  const [one, other, alone] = await Promise.all([
    start({ answers, answerSeconds: 0 }),
    start({ answers, answerSeconds: 0 }),
    start(),
  ]);
  running.push(one, other, alone);
  const ask = (server: Started, more: object, init?: RequestInit) =>
    post(`${server.url}/v1/chat/completions`, { ...body, messages, ...more }, init);
  const leaving = new AbortController();
  const stream = await ask(one, { stream: true }, { signal: leaving.signal });
  await stream.body?.getReader().read();
  const keys = () => [...answers.values.keys()];
  await until(() => Number(answers.values.get(`${keys()[0]}`)?.version) > 8);
  leaving.abort();
  const [key] = keys();
  expect(key).toMatch(/^answers\/[0-9a-f]{64}$/);
  const { bytes } = answers.values.get(key as string)!;
  const { id: _, created: __, timings: ___, ...wanted } = await json(ask(alone, {}));
  expect(wanted.choices[0].logprobs.content).toHaveLength(60);
  expect(await json(ask(other, {}))).toMatchObject(wanted);
  expect(keys()).toEqual([]);
  // What is there is taken: of another answer it gives another text.
  const before = Buffer.from(bytes).toString("latin1");
  const [, first = ""] = before.match(/"text":"( ?[A-Za-z]+)"/) as RegExpMatchArray;
  const forged = Buffer.from(before.replace(`"text":"${first}"`, `"text":"${"#".repeat(first.length)}"`), "latin1");
  await answers.put(key as string, forged);
  expect((await json(ask(other, {}))).choices[0].message.content).toContain("#");
  answers.looked.length = 0;
  await json(ask(one, { seed: undefined }));
  expect(answers.looked).toEqual([]);
  answers.down = true;
  expect((await json(ask(one, {}))).choices).toEqual(wanted.choices);
});
