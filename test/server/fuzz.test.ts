import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { NAME, type Started, start } from "./serving.ts";

/** Bodies for each route; FULL=1 tries as many as the project promises. */
const RUNS = process.env.FULL ? 10_000 : 100;
if (process.env.FULL) setDefaultTimeout(1_200_000);

let started: Started;
beforeAll(async () => {
  // In a worker, as `lambent serve` has it: what is not caught there ends it.
  started = await start({ maxSessions: 2, maxSeconds: 5, maxNewTokens: 2 }, { worker: true });
});
afterAll(async () => {
  expect((await started.model.generate("a", { maxNewTokens: 1 }).text()).length).toBeGreaterThan(0);
  await started.stop();
});

/** What each route takes, the fields in their plainest form. */
const ROUTES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "/v1/chat/completions": {
    ...{ model: NAME, messages: [{ role: "user", content: "a" }], max_tokens: 1, max_completion_tokens: 1 },
    ...{ temperature: 1, top_p: 0.5, top_k: 3, min_p: 0, seed: 1, stop: ["b"], n: 1, logit_bias: { "5": 1 } },
    ...{ stream: true, stream_options: { include_usage: true }, logprobs: true, top_logprobs: 1, tools: [] },
    ...{ response_format: { type: "text" }, chat_template_kwargs: { a: 1 }, store: true, repetition_penalty: 1.1 },
  },
  "/v1/completions": {
    ...{ model: NAME, prompt: "a", max_tokens: 1, temperature: 0, logprobs: 1, echo: false, stop: "b" },
    ...{ suffix: null, best_of: 1, stream: false, stream_options: null, logit_bias: null, ignore_eos: true },
  },
  "/v1/responses": {
    ...{ model: NAME, input: [{ role: "user", content: [{ type: "input_text", text: "a" }] }], max_output_tokens: 1 },
    ...{ instructions: "b", store: true, stream: true, truncation: "auto", include: ["message.output_text.logprobs"] },
    ...{ temperature: 1, top_p: 0.5, tools: [], tool_choice: "auto", text: { format: { type: "text" } }, metadata: {} },
    ...{ previous_response_id: null, conversation: null, background: false, top_logprobs: 1 },
  },
  "/v1/messages": {
    ...{ model: NAME, max_tokens: 1, messages: [{ role: "user", content: [{ type: "text", text: "a" }] }] },
    ...{ system: [{ type: "text", text: "b" }], stop_sequences: ["c"], stream: true, temperature: 1, top_p: 0.5 },
    ...{ top_k: 3, tools: [], tool_choice: { type: "auto" } },
  },
  "/v1/messages/count_tokens": { model: NAME, messages: [{ role: "user", content: "a" }], system: "b", tools: [] },
  "/api/chat": {
    ...{ model: NAME, messages: [{ role: "user", content: "a" }], stream: true, tools: [], format: null },
    options: { num_predict: 1, temperature: 1, top_k: -1, seed: 1, stop: ["b"], num_ctx: 5 },
  },
  "/api/generate": { model: NAME, prompt: "a", system: "b", raw: true, stream: false, options: { num_predict: 1 } },
  "/api/embed": { model: NAME, input: ["a"], dimensions: null },
  "/api/show": { model: NAME, name: NAME },
  "/tokenize": { content: "a", add_special: true, with_pieces: true },
  "/detokenize": { tokens: [1, 5] },
  "/apply-template": { messages: [{ role: "user", content: "a" }], tools: [], chat_template_kwargs: { a: 1 } },
  "/v1/embeddings": { model: NAME, input: ["a", [5, 6]], encoding_format: "float", dimensions: null },
};

/** A body with some fields left out, some of other kinds, and some that nobody knows. */
function bodies(plain: Readonly<Record<string, unknown>>): fc.Arbitrary<unknown> {
  const odd = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(null, "", -1, 0, 1.5, 1e308, 2 ** 53, [], {}, [[]], [null], "\u0000", "\ud800", "__proto__", true),
    // The plain value, a level deeper or with one part of it odd.
    fc.constantFrom(...Object.values(plain)).chain((value) => fc.constantFrom([value], { type: value }, { a: value })),
  );
  const fields = Object.entries(plain).map(([name, value]) =>
    fc.oneof(
      { weight: 6, arbitrary: fc.constant([name, value] as const) },
      { weight: 1, arbitrary: odd.map((other) => [name, other] as const) },
      { weight: 2, arbitrary: fc.constant(undefined) },
    ),
  );
  const whole = fc.tuple(...fields).map((pairs) => Object.fromEntries(pairs.filter((pair) => pair !== undefined)));
  return fc.oneof({ weight: 9, arbitrary: whole }, { weight: 1, arbitrary: odd });
}

/** No test is to wait for a long answer. */
function shortened(body: unknown): unknown {
  const limits = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const { options } = body as { options?: unknown };
  const some = typeof options === "object" && options !== null && !Array.isArray(options);
  const least = some ? { options: { ...options, num_predict: 1 } } : {};
  return Object.fromEntries(
    Object.entries({ max_tokens: 1, max_output_tokens: 1, ...body, ...least }).map(([name, value]) => {
      const long = limits.includes(name) && (value === null || (typeof value === "number" && value > 2));
      return [name, long ? 2 : value];
    }),
  );
}

/** Headers that something reads, with what nobody sends, and others. */
const headers: fc.Arbitrary<[string, string][]> = fc.array(
  fc.tuple(
    fc.oneof(
      fc.constantFrom("content-type", "content-length", "content-encoding", "transfer-encoding", "accept", "origin"),
      fc.constantFrom("authorization", "x-api-key", "host", "connection", "expect", "cookie", "anthropic-version"),
      fc.stringMatching(/^[a-z-]{1,12}$/),
    ),
    fc.oneof(
      fc.constantFrom("", "0", "-1", "1e9", "NaN", "gzip", "chunked", "Bearer ", "null", "http://localhost", "a, b"),
      fc.stringMatching(/^[\x21-\xff]{0,200}$/),
    ),
  ),
  { maxLength: 6 },
);

async function check(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: [string, string][] = [],
): Promise<void> {
  const response = await started.server.fetch(new Request(`http://x${path}`, { method: "POST", body, headers }));
  const text = await response.text();
  // A machine that is busy may have no session free in time.
  if (response.status === 503) return;
  if (response.status >= 500) throw new Error(`${response.status}: ${text}`);
  if (response.status === 200) return expect(text).not.toContain("internal error");
  const { error } = JSON.parse(text);
  expect(typeof error === "string" ? error : error.message).toMatch(/expected|found|: /);
}

for (const [path, plain] of Object.entries(ROUTES)) {
  test(`${path}: no body and no headers make the server fail`, async () => {
    const property = fc.asyncProperty(bodies(plain), headers, (body, headers) => {
      return check(path, JSON.stringify(shortened(body)), headers);
    });
    await fc.assert(property, { numRuns: RUNS });
  });
}

test("text that is no JSON, and bytes that are no text, are the request's fault", async () => {
  const texts = fc.oneof(
    fc.string().map((text) => new TextEncoder().encode(text)),
    fc.uint8Array({ maxLength: 64 }),
    // A body cut off, or with one byte changed.
    fc.tuple(fc.nat(400), fc.nat(255)).map(([at, byte]) => {
      const bytes = new TextEncoder().encode(JSON.stringify(ROUTES["/v1/completions"]));
      bytes[at % bytes.length] = byte;
      return byte % 2 ? bytes : bytes.slice(0, at % bytes.length);
    }),
  );
  const property = fc.asyncProperty(fc.constantFrom(...Object.keys(ROUTES)), texts, (path, bytes) => {
    return check(path, Uint8Array.from(bytes));
  });
  await fc.assert(property, { numRuns: RUNS });
});

test("JSON of any depth is answered", async () => {
  for (const depth of [150, 1000, 200_000]) {
    await check("/v1/chat/completions", `{"messages":${"[".repeat(depth)}${"]".repeat(depth)}}`);
    await check(
      "/v1/completions",
      `{"prompt":"a","max_tokens":1,"extra":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}`,
    );
  }
});
