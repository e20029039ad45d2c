/** Files of requests for `batch`, and their results. */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../session/small.ts";
import type { start } from "./run.ts";

/** FULL=1 asks as much as the project promises. */
export const REQUESTS = process.env.FULL ? 1000 : 60;

// biome-ignore lint/suspicious/noExplicitAny: bodies of every route
export type Json = any;

/** Requests of every route in turn; some say their seed. */
export function requestOf(i: number): Json {
  const length = 4 + ((i * 7) % 20);
  const seed = i % 5 === 0 ? { seed: i } : {};
  const routes: readonly [url: string, body: object][] = [
    ["/v1/completions", { prompt: `Chapter ${i}.`, max_tokens: length, logprobs: i % 3 === 0 ? 1 : null, ...seed }],
    ["/v1/chat/completions", { messages: [{ role: "user", content: `Who is ${i}?` }], max_tokens: length, ...seed }],
    ["/v1/responses", { input: `Tell of ${i}.`, max_output_tokens: length, store: true, ...seed }],
    ["/v1/embeddings", { input: [`a ${i}`, `b ${i}`], encoding_format: "base64" }],
  ];
  const [url, body] = routes[i % routes.length]!;
  return { custom_id: `request ${i}`, method: "POST", url, body };
}

/** A file of requests in a folder of its own, and where its results will be. */
export function fileOf(lines: readonly unknown[]): { readonly file: string; readonly out: string } {
  const folder = temporaryFolder();
  const file = join(folder, "asked.jsonl");
  writeFileSync(file, `${lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n")}\n`);
  return { file, out: join(folder, "asked.output.jsonl") };
}

export const linesOf = (out: string): string[] => readFileSync(out, "utf8").split("\n").slice(0, -1);

/** The results of a file by their custom_id, each there once. */
export function resultsOf(out: string): Map<string, Json> {
  const results = linesOf(out).map((line) => JSON.parse(line));
  const byId = new Map(results.map((result) => [result.custom_id, result]));
  expect(byId.size).toBe(results.length);
  return byId;
}

/** What has to be the same in every run: all but names, times and durations. */
function lasting(value: Json): Json {
  if (Array.isArray(value)) return value.map(lasting);
  if (typeof value !== "object" || value === null) return value;
  const passing = ["id", "request_id", "created", "created_at", "timings"];
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !passing.includes(name))
      .map(([name, part]) => [name, lasting(part)]),
  );
}

export const lastingOf = (out: string) => [...resultsOf(out)].map(([id, result]) => [id, lasting(result)]).sort();

/** Waits for so many lines of results, of a command that is still at it. */
export async function written(child: ReturnType<typeof start>, out: string, count: number): Promise<void> {
  while (!existsSync(out) || linesOf(out).length < count) {
    if (child.exitCode !== null) throw new Error(`it ended before ${count} results`);
    await Bun.sleep(5);
  }
}
