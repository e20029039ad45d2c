import { afterAll, beforeAll, expect, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020";
import fc from "fast-check";
import * as z from "zod/mini";
import { openApi } from "../../src/server/openapi.ts";
import { type Route, routesOf } from "../../src/server/routes.ts";
import { sampling } from "../../src/server/schemas.ts";
import { type Json, json, NAME, post, type Started, start } from "./serving.ts";

let started: Started;
beforeAll(async () => {
  started = await start();
});
afterAll(() => started.stop());

const MESSAGES = { model: NAME, max_tokens: 1, messages: [{ role: "user", content: "a" }] };
const routes = routesOf({} as never, {} as never);

test("the document has every route, with what its body has to be", async () => {
  const document: Json = await json(fetch(`${started.url}/openapi.json`));
  expect(document.openapi).toBe("3.1.0");
  const found = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) => {
    return Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`);
  });
  expect(found.sort()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort());
  const chat = document.paths["/v1/chat/completions"].post.requestBody.content["application/json"].schema;
  expect(chat.required).toEqual(["messages"]);
  expect(chat.properties.top_logprobs.anyOf[0]).toMatchObject({ type: "integer", minimum: 0, maximum: 20 });
});

test("the document says which ids, biases, dimensions and stop strings are taken, and others are refused", async () => {
  const { paths } = await json(fetch(`${started.url}/openapi.json`));
  const { vocabSize, hiddenSize } = started.model.info;
  const good = { prompt: [vocabSize - 1], max_tokens: 1, logit_bias: { [vocabSize - 1]: 1 } };
  for (const [path, body, bad] of [
    ["/v1/completions", good, { prompt: [vocabSize] }],
    ["/v1/completions", good, { logit_bias: { [vocabSize]: 1 } }],
    ["/v1/embeddings", { input: "a", dimensions: hiddenSize }, { dimensions: hiddenSize + 1 }],
    ["/v1/messages", MESSAGES, { stop_sequences: ["a", "𝄞".repeat(65)] }],
    ["/api/generate", { model: NAME, prompt: "a", stream: false }, { options: { stop: "𝄞".repeat(65) } }],
    ["/v1/completions", { ...good, stop: "𝄞".repeat(64) }, { stop: ["a".repeat(65)] }],
    ["/detokenize", { tokens: [vocabSize - 1] }, { tokens: [vocabSize] }],
  ] as const) {
    const { schema } = paths[path].post.requestBody.content["application/json"];
    const valid = new Ajv2020({ strict: false }).compile(schema);
    for (const [sent, status] of [
      [body, 200],
      [{ ...body, ...bad }, 400],
    ] as const) {
      expect([path, sent, valid(sent), (await post(`${started.url}${path}`, sent)).status]).toEqual([
        path,
        sent,
        status === 200,
        status,
      ]);
    }
  }
});

test("the pattern of biases has the ids of vocabularies of any size, and no others", () => {
  const body = z.looseObject({ logit_bias: sampling.logit_bias });
  const route: Route = { method: "POST", path: "/", summary: "", body, handle: () => new Response() };
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 300_000 }), fc.integer({ min: 0, max: 300_000 }), (vocabSize, id) => {
      const core = { model: { info: { vocabSize, hiddenSize: 1 } } };
      const { paths } = openApi([route], { cores: new Map([["a", core]]) } as never) as Json;
      const { schema } = paths["/"].post.requestBody.content["application/json"];
      const { pattern } = schema.properties.logit_bias.anyOf[0].propertyNames;
      for (const some of [id, vocabSize - 1, vocabSize])
        expect(new RegExp(pattern).test(`${some}`)).toBe(some < vocabSize);
      expect(new RegExp(pattern).test(`0${id}`)).toBe(false);
    }),
  );
});

test("another method on a path is 405 and says which are allowed, another path is 404", async () => {
  for (const { path } of routes) {
    const response = await fetch(`${started.url}${path.replace(/\{\w+\}/, "x")}`, { method: "PATCH" });
    expect(response.status).toBe(405);
    const allowed = routes.filter((route) => route.path === path).map(({ method }) => method);
    expect(response.headers.get("allow")!.split(", ")).toEqual(expect.arrayContaining(allowed));
  }
  expect((await fetch(`${started.url}/v2/none`)).status).toBe(404);
});

test.each([
  [
    "/v1/chat/completions",
    { messages: [{ role: "user", content: [{ type: "text" }] }] },
    "messages[0].content[0].text",
  ],
  ["/v1/chat/completions", { messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
  ["/v1/chat/completions", { messages: [{ role: "user" }], tools: [{ type: "function" }] }, "tools[0].function"],
  ["/v1/chat/completions", { messages: [{ role: "user" }], top_logprobs: 1 }, "top_logprobs"],
  ["/v1/completions", { prompt: ["a", "b"] }, "prompt"],
  ["/v1/completions", { prompt: "a", suffix: "b" }, "suffix"],
  ["/v1/completions", { prompt: "a", echo: true, logprobs: 0 }, "logprobs"],
  ["/v1/responses", { input: [{ type: "function_call" }] }, "input[0].name"],
  ["/v1/responses", { input: [{ type: "image" }] }, "input[0].type"],
  ["/v1/responses", { input: [] }, "input"],
  ["/v1/responses", { input: [{ type: "reasoning" }], instructions: "" }, "input"],
  ["/v1/responses", { input: "a", background: true }, "background"],
  ["/api/chat", { model: "story", messages: [{ role: "user", images: ["a"] }] }, undefined],
])("%s refuses %j by name, and the document knows", async (path, body, param) => {
  const response = await post(`${started.url}${path}`, body);
  expect(response.status).toBe(400);
  const { error } = await json(response);
  expect(error.param).toBe(param);
  const { paths } = await json(fetch(`${started.url}/openapi.json`));
  const valid = new Ajv2020({ strict: false }).compile(paths[path].post.requestBody.content["application/json"].schema);
  expect(valid(body)).toBe(false);
});
