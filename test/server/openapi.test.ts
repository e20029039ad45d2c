import { afterAll, beforeAll, expect, test } from "bun:test";
import { routesOf } from "../../src/server/routes.ts";
import { type Json, json, type Started, start } from "./serving.ts";

let started: Started;
beforeAll(async () => {
  started = await start();
});
afterAll(() => started.stop());

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

test("another method on a path is 405 and says which are allowed, another path is 404", async () => {
  for (const { path } of routes) {
    const response = await fetch(`${started.url}${path.replace(/\{\w+\}/, "x")}`, { method: "PATCH" });
    expect(response.status).toBe(405);
    const allowed = routes.filter((route) => route.path === path).map(({ method }) => method);
    expect(response.headers.get("allow")!.split(", ")).toEqual(expect.arrayContaining(allowed));
  }
  expect((await fetch(`${started.url}/v2/none`)).status).toBe(404);
});
