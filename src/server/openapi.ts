import * as z from "zod/mini";
import { VERSION } from "../base/version.ts";
import type { Route } from "./routes.ts";
import { dimensions, MOST_STOP, stopString, tokenId, tokenKey } from "./schemas.ts";
import type { Service } from "./service.ts";

/** What every route may answer beside 200. */
const FAULTS = {
  "400": "The request is at fault; the error names the field, what was expected and what was found",
  "401": "No API key that is known",
  "404": "No such model, response or tool",
  "409": "Another request has stored this at the same time",
  "408": "The body took too long",
  "413": "The body is too large",
  "429": "All sessions are in use and the queue is full; see retry-after",
  "503": "The server is shutting down, no session was free in time, or the session store does not answer",
};

const ERROR = { anyOf: [{ type: "object" }, { type: "string" }] };

/** The routes as an OpenAPI 3.1 document, with the longest strings and largest numbers that it takes. */
export function openApi(routes: readonly Route[], { cores }: Service): object {
  const models = [...cores.values()].map(({ model }) => model.info);
  const lastId = Math.max(...models.map(({ vocabSize }) => vocabSize)) - 1;
  const limits = new Map<unknown, object>([
    [tokenId, { maximum: lastId }],
    [tokenKey, { pattern: `^(${upTo(lastId)})$` }],
    [stopString, { maxLength: MOST_STOP }],
    [dimensions, { maximum: Math.max(...models.map(({ hiddenSize }) => hiddenSize)) }],
  ]);
  const paths: Record<string, Record<string, object>> = {};
  for (const { method, path, summary, body, types = ["application/json"] } of routes) {
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const parameters = names.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } }));
    const schema =
      body &&
      z.toJSONSchema(body, {
        io: "input",
        override({ zodSchema, jsonSchema }) {
          Object.assign(jsonSchema, limits.get(zodSchema));
        },
      });
    const faults = Object.entries(FAULTS).filter(([status]) => body || !["408", "413"].includes(status));
    paths[path] ??= {};
    paths[path][method.toLowerCase()] = {
      summary,
      ...(parameters.length > 0 ? { parameters } : {}),
      ...(schema ? { requestBody: { required: true, content: { "application/json": { schema } } } } : {}),
      responses: {
        "200": { description: "Done", content: Object.fromEntries(types.map((type) => [type, {}])) },
        ...Object.fromEntries(
          faults.map(([status, description]) => [
            status,
            { description, content: { "application/json": { schema: ERROR } } },
          ]),
        ),
      },
    };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Lambent", version: VERSION, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
    security: [{}, { key: [] }],
    paths,
  };
}

/** A regular expression of the whole numbers from 0 to `most`. */
function upTo(most: number): string {
  const digits = `${most}`;
  const shorter = digits.length > 1 ? ["0", `[1-9]\\d{0,${digits.length - 2}}`] : [];
  // As long, and smaller at digit i for the first time.
  const smaller = [...digits].flatMap((digit, i) => {
    const least = i === 0 && digits.length > 1 ? 1 : 0;
    return Number(digit) > least
      ? [`${digits.slice(0, i)}[${least}-${Number(digit) - 1}]\\d{${digits.length - 1 - i}}`]
      : [];
  });
  return [...shorter, ...smaller, digits].join("|");
}
