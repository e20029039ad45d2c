/** `lambent serve`, asked by curl. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endChildren, lambent, readUntil, start } from "../cli/run.ts";
import { post, until } from "./serving.ts";

afterEach(endChildren);

/** The command, and where it listens. */
async function serve(...flags: readonly string[]) {
  const child = start(["serve", "--port", "0", "--threads", "1", ...flags], "ignore");
  const errors = child.stderr.getReader();
  const begin = await readUntil(errors, (text) => /^listening on .*\n/m.test(text));
  return { child, errors, url: begin.match(/listening on (.*)/)![1] as string };
}

function curl(...args: readonly string[]) {
  return Bun.spawn(["curl", "-sS", ...args], { stdout: "pipe", stderr: "inherit" });
}

test("curl gets a text, whole and in pieces, and the log says so", async () => {
  const { child, errors, url } = await serve("--alias", "tale", "--alias", "other");
  const body = { model: "tale", prompt: "It was late", max_tokens: 8, temperature: 0 };
  const whole = await new Response(curl(`${url}/v1/completions`, "-d", JSON.stringify(body)).stdout).json();
  const pieces = await new Response(
    curl("-N", `${url}/v1/completions`, "-d", JSON.stringify({ ...body, model: "other", stream: true })).stdout,
  ).text();
  const texts = [...pieces.matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data!).choices[0].text);
  expect(texts.length).toBeGreaterThan(2);
  expect(texts.join("")).toBe(whole.choices[0].text);
  child.kill("SIGTERM");
  const log = await readUntil(errors, () => false);
  expect(await child.exited).toBe(0);
  const lines = [...log.matchAll(/^\{.*\}$/gm)].map(([line]) => JSON.parse(line!));
  expect(lines.map(({ method, path, status }) => ({ method, path, status }))).toEqual(
    Array(2).fill({ method: "POST", path: "/v1/completions", status: 200 }),
  );
});

test("SIGTERM: an answer that is being written is finished, then it ends with 0", async () => {
  const { child, url } = await serve("--log", "none");
  const body = { prompt: "It was late", max_tokens: 300, ignore_eos: true, stream: true };
  const reading = curl("-N", `${url}/v1/completions`, "-d", JSON.stringify(body));
  const reader = reading.stdout.getReader();
  const begin = await readUntil(reader, (text) => text.includes("data: "));
  child.kill("SIGTERM");
  const rest = await readUntil(reader, () => false);
  expect((begin + rest).slice(-100)).toEndWith("data: [DONE]\n\n");
  expect([...(begin + rest).matchAll(/"finish_reason":"length"/g)].length).toBe(1);
  expect(await child.exited).toBe(0);
});

test("a client that is gone frees its session", async () => {
  const { child, url } = await serve("--parallel", "1", "--queue", "0", "--log", "none");
  const body = JSON.stringify({ prompt: "It was late", max_tokens: 100_000, ignore_eos: true, stream: true });
  const reading = curl("-N", `${url}/v1/completions`, "-d", body);
  await readUntil(reading.stdout.getReader(), (text) => text.includes("data: "));
  const short = { method: "POST", body: JSON.stringify({ prompt: "A", max_tokens: 1 }) };
  expect((await fetch(`${url}/v1/completions`, short)).status).toBe(429);
  reading.kill("SIGKILL");
  await until(async () => (await fetch(`${url}/v1/completions`, short)).status === 200);
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
});

test("a port that is taken is an error of one line", async () => {
  const { child, url } = await serve("--log", "none");
  const second = start(["serve", "--port", new URL(url).port, "--threads", "1"], "ignore");
  expect(await new Response(second.stderr).text()).toMatch(
    /^error: 127\.0\.0\.1:\d+: expected an address to listen on, found EADDRINUSE\n$/,
  );
  expect(await second.exited).toBe(1);
  child.kill("SIGTERM");
  await child.exited;
});

test("sessions are in the store that --store names, for the next server there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lambent-command-"));
  try {
    const ask = async (body: object) => {
      const { child, url } = await serve("--store", folder, "--log", "none");
      const answer = await (
        await post(`${url}/v1/responses`, { temperature: 0, max_output_tokens: 5, ...body })
      ).json();
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
      return answer;
    };
    const first = await ask({ input: "Who is there?" });
    expect(first.store).toBe(true);
    const second = await ask({ input: "Why?", previous_response_id: first.id });
    expect(second.previous_response_id).toBe(first.id);
    expect(second.usage.input_tokens_details.cached_tokens).toBeGreaterThan(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.each([
  ["", /^error: --store: expected a folder or an address of redis, .*, found nothing\n$/],
  ["ftp://me:secret@host/x", /^error: --store: expected a folder or .*, found ftp:\/\/host\/x\n$/],
  [
    "redis://:secret@127.0.0.1:1",
    /^error: --store redis:\/\/127\.0\.0\.1:1: expected a store that answers, found .*ECONNREFUSED/,
  ],
  ["postgres://me:secret@127.0.0.1:1/x", /^error: --store postgres:\/\/127\.0\.0\.1:1\/x: .*ECONNREFUSED/],
  ["/proc/none", /^error: --store \/proc\/none: expected a store that answers, found .*ENOENT/],
])("a store that cannot be had ends the command: %s", async (place, error) => {
  const run = await lambent(["serve", "--port", "0", "--store", place]);
  expect(run.code).toBe(1);
  expect(run.err).toMatch(error);
  expect(run.err).not.toContain("secret");
});
