import { afterAll, beforeAll, expect, test } from "bun:test";
import { load } from "lambent";
import { Edge, MODEL, type Told } from "./edge.ts";

const SAMPLED = { temperature: 0.8, topK: 40 };
const ids = ({ tokens }: Told) => tokens.map(({ id }) => id);
const textOf = ({ tokens }: Told) => tokens.map(({ text }) => text).join("");

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start();
  await edge.upload();
}, 60_000);
afterAll(() => edge.stop());

/** Waits until this many stories are active. */
async function writing(count: number): Promise<void> {
  while ((await edge.health()).writing !== count);
}

test("a story is streamed, kept, shown and deleted, with the bits that Bun computes", async () => {
  const prompt = "It was a bright cold day in April";
  const wish = { seed: 7, maxNewTokens: 500, ...SAMPLED };
  const asked = performance.now();
  let begun = 0;
  const told = await edge.tell("/stories", { prompt, ...wish }, () => (begun ||= performance.now()));
  const perSecond = (1000 * (told.tokens.length - 1)) / (performance.now() - begun);
  console.log(
    `first token of a new isolate after ${(begun - asked).toFixed(0)} ms, then ${perSecond.toFixed(0)} tokens/s`,
  );

  const model = await load(MODEL, { threads: 1 });
  const generation = model.generate(prompt, wish);
  const expected = [];
  for await (const { id, text, position } of generation.tokens()) expected.push({ id, text, position });
  expect(told.tokens.map(({ id, text, position }) => ({ id, text, position }))).toEqual(expected);
  const { finishReason, logitsHash, promptTokens, newTokens } = await generation.result;
  const id = told.done?.id as string;
  expect(told.done).toEqual({ id, seed: 7, finishReason, logitsHash, tokens: promptTokens + newTokens });

  const shown = await (await edge.ask("GET", `/stories/${id}`)).json();
  expect(shown).toEqual({
    id,
    length: promptTokens + newTokens,
    text: prompt + expected.map(({ text }) => text).join(""),
  });
  expect((await edge.ask("DELETE", `/stories/${id}`)).status).toBe(204);
  expect((await edge.ask("GET", `/stories/${id}`)).status).toBe(404);
});

test("a story that is continued twice, the second time in a new isolate, is the unbroken one", async () => {
  const begin = { prompt: "Once upon a time there was", seed: 11, ...SAMPLED };
  const unbroken = await edge.tell("/stories", { ...begin, maxNewTokens: 300 });
  const first = await edge.tell("/stories", { ...begin, maxNewTokens: 100 });
  const path = `/stories/${first.done?.id}`;
  const second = await edge.tell(path, { ...SAMPLED, maxNewTokens: 100 });
  await edge.stop();
  edge = await Edge.start();
  const third = await edge.tell(path, { ...SAMPLED, maxNewTokens: 100 });
  expect([first, second, third].flatMap(({ tokens }) => tokens)).toEqual([...unbroken.tokens]);
  expect(third.done?.tokens).toBe(unbroken.done?.tokens as number);
  const { text } = (await (await edge.ask("GET", path)).json()) as { text: string };
  expect(text).toBe(begin.prompt + textOf(unbroken));
  // With more to read in between it is another story.
  const turned = await edge.tell(path, { prompt: " Suddenly", ...SAMPLED, maxNewTokens: 5 });
  expect(turned.done?.tokens).toBeGreaterThan((third.done?.tokens as number) + 5);
});

test("stories that are written at once do not mix", async () => {
  const wishes = ["The sea", "Her brother", "On the hill", "He said"].map((prompt, i) => {
    return { prompt, seed: i, maxNewTokens: 40 + 20 * i, ...SAMPLED };
  });
  const alone: Told[] = [];
  for (const wish of wishes) alone.push(await edge.tell("/stories", wish));
  const order: number[] = [];
  const together = await Promise.all(wishes.map((wish, i) => edge.tell("/stories", wish, () => order.push(i))));
  expect(together.map(({ done }) => done?.logitsHash)).toEqual(alone.map(({ done }) => done?.logitsHash));
  expect(together.map(ids)).toEqual(alone.map(ids));
  // Their steps alternated: the last one had begun before the first one was done.
  expect(order.indexOf(3)).toBeLessThan(order.lastIndexOf(0));
});

test("a client that disconnects releases its session, and beyond all sessions there is 429", async () => {
  const { sessions } = (await edge.health()).limits as { sessions: number };
  const long = { prompt: "And so", maxNewTokens: 1024, ignoreEos: true };
  const leave = new Map<number, () => void>();
  const stories = Array.from({ length: sessions }, (_, i) => {
    return edge.tell("/stories", long, (_, abort) => leave.set(i, abort));
  });
  await writing(sessions);
  const response = await edge.ask("POST", "/stories", long);
  expect([response.status, response.headers.get("retry-after")]).toEqual([429, "5"]);
  expect(await response.json()).toEqual({
    error: `stories: expected at most ${sessions} being written, found one more`,
  });
  while (leave.size < sessions) await Bun.sleep(1);
  for (const abort of leave.values()) abort();
  for (const { done } of await Promise.all(stories)) expect(done).toBeUndefined();
  await writing(0);
  const short = { prompt: "And so", maxNewTokens: 3 };
  const again = await Promise.all(stories.map(() => edge.tell("/stories", short)));
  expect(again.map(({ done }) => done?.finishReason)).toEqual(again.map(() => "length"));
});

test("who leaves while a long prompt is read gives the session back at once", async () => {
  const leave = new AbortController();
  const prompt = "a b c d ".repeat(2000);
  const story = edge.ask("POST", "/stories", { prompt, maxNewTokens: 1 }, leave.signal).catch(() => undefined);
  await writing(1);
  leave.abort();
  expect(await story).toBeUndefined();
  // If the prompt were read on, its steps would alternate with these few, and be far from their end.
  await edge.tell("/stories", { prompt: "One", maxNewTokens: 2 });
  expect((await edge.health()).writing).toBe(0);
});

test("who leaves while the model is loaded leaves it to the others", async () => {
  await edge.stop();
  edge = await Edge.start();
  const leave = new AbortController();
  const wish = { prompt: "One", maxNewTokens: 3 };
  const first = edge.ask("POST", "/stories", wish, leave.signal).catch(() => undefined);
  await writing(1);
  const second = edge.tell("/stories", wish);
  await writing(2);
  leave.abort();
  expect(await first).toBeUndefined();
  expect((await second).done?.finishReason).toBe("length");
});

test("what is wrong with a request is said in one line", async () => {
  const missing = `/stories/${crypto.randomUUID()}`;
  const cases: [string, string, unknown, number, string][] = [
    ["GET", "/", undefined, 404, "path: expected /stories, /stories/:id or /health, found GET /"],
    ["GET", "/stories/7", undefined, 404, "path: expected /stories, /stories/:id or /health, found GET /stories/7"],
    ["PUT", "/stories", {}, 404, "path: expected /stories, /stories/:id or /health, found PUT /stories"],
    ["GET", missing, undefined, 404, `story ${missing.slice(9)}: expected one that exists, found none`],
    ["POST", missing, {}, 404, `story ${missing.slice(9)}: expected one that exists, found none`],
    ["POST", "/stories", undefined, 400, 'body: expected JSON, found ""'],
    ["POST", "/stories", "once\nupon", 400, 'body: expected JSON, found "once\\nupon"'],
    ["POST", "/stories", "[1]", 400, "body: expected an object, found [1]"],
    ["POST", "/stories", { prompt: 1 }, 400, "prompt: expected a string, found 1"],
    [
      "POST",
      "/stories",
      { maxNewTokens: 1025 },
      400,
      "maxNewTokens: expected a whole number from 1 to 1024, found 1025",
    ],
    ["POST", "/stories", { maxNewTokens: 0 }, 400, "maxNewTokens: expected a whole number from 1 to 1024, found 0"],
    ["POST", "/stories", { temperature: -1 }, 400, "temperature: expected a number above 0, found -1"],
    ["POST", "/stories", { seed: 1.5 }, 400, "seed: expected a whole number from 0 to 2^53 − 1, found 1.5"],
    ["POST", "/stories", { prompt: "x".repeat(65_536) }, 413, "body: expected at most 65536 bytes, found more"],
    ["POST", "/stories", { prompt: "€".repeat(9_000) }, 413, "prompt: expected at most 8192 tokens, found 27001"],
  ];
  for (const [method, path, body, status, error] of cases) {
    expect(await edge.refusal(method, path, body)).toEqual([status, error]);
  }
  const [status, error] = await edge.refusal("POST", "/stories", { length: 3 });
  expect([status, error.startsWith("body: expected one of prompt, seed"), error.endsWith('found "length"')]).toEqual([
    400,
    true,
    true,
  ]);
  expect((await edge.health()).writing).toBe(0);
});

test("a story has one writer at a time, and is not kept when it was deleted in the meantime", async () => {
  const { done } = await edge.tell("/stories", { prompt: "One", maxNewTokens: 1 });
  const path = `/stories/${done?.id}`;
  let refusal: unknown;
  const told = await edge.tell(path, { maxNewTokens: 1000, ignoreEos: true }, async ({ position }) => {
    if (refusal) return;
    refusal = await edge.refusal("POST", path, { maxNewTokens: 1 });
    await edge.ask("DELETE", path);
    expect(position).toBeGreaterThan(0);
  });
  expect(refusal).toEqual([409, `story ${done?.id}: expected one writer at a time, found a second one`]);
  expect(told.done).toBeUndefined();
  expect(told.error).toBe(`story ${done?.id}: expected it as it was read, found it changed or deleted`);
  expect((await edge.ask("GET", path)).status).toBe(404);
});

test("a damaged snapshot is refused by name, and so is one that was cut", async () => {
  const { done } = await edge.tell("/stories", { prompt: "One", maxNewTokens: 1 });
  const id = done?.id as string;
  const stories = await edge.bucket("STORIES");
  const object = await stories.get(id);
  const { customMetadata } = object as { customMetadata: Record<string, string> };
  const bytes = new Uint8Array(await (object as { arrayBuffer(): Promise<ArrayBuffer> }).arrayBuffer());
  bytes[100_000] = (bytes[100_000] as number) ^ 1;
  await stories.put(id, bytes, { customMetadata });
  const [status, error] = await edge.refusal("POST", `/stories/${id}`, {});
  expect([status, error.replace(/[0-9a-f]{16}/g, "#")]).toEqual([
    500,
    `story ${id}: snapshot: checksum: expected #, found #: it is damaged`,
  ]);
  await stories.put(id, bytes.subarray(0, 50_000), { customMetadata });
  const [, cut] = await edge.refusal("POST", `/stories/${id}`, {});
  expect(cut).toStartWith(`story ${id}: snapshot`);
  expect((await edge.health()).writing).toBe(0);
});

test("weights that are cut short in the bucket are an error, and the next request tries again", async () => {
  await edge.stop();
  edge = await Edge.start("cut");
  await edge.upload((file, bytes) => (file === "model.safetensors" ? bytes.subarray(0, -1000) : bytes));
  const response = await edge.ask("POST", "/stories", { prompt: "One", maxNewTokens: 1 });
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
  expect(((await response.json()) as { error: string }).error).toStartWith("lambent-llama-5m/model.safetensors: ");
  await edge.upload();
  expect((await edge.tell("/stories", { prompt: "One", maxNewTokens: 1 })).done?.finishReason).toBe("length");
});
