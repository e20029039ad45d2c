/** Clients that mean no good, or know no better: `lambent serve` answers the others meanwhile. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { listen } from "../../src/cli/listen.ts";
import { endChildren, readUntil, start } from "../cli/run.ts";
import { type Json, json, post, until } from "./serving.ts";

/** FULL=1 does as much as the project promises. */
const [CONNECTIONS, BODY_BYTES] = process.env.FULL ? [10_000, 2 ** 30] : [300, 2 ** 26];
if (process.env.FULL) setDefaultTimeout(600_000);
const MOST_BODY = 2 ** 20;
/** What memory may grow by, in MiB: bodies that are refused are not kept. */
const GROWTH = 200;

const BODY = { prompt: "It was late", max_tokens: 8, seed: 1 };

let child: ReturnType<typeof start>;
let url: URL;
let wanted: Json;
const sockets: Socket[] = [];

beforeAll(async () => {
  const flags = ["--threads", "1", "--parallel", "2", "--queue", "4", "--max-body", "1", "--log", "none"];
  child = start(["serve", "--port", "0", ...flags], "ignore");
  const begin = await readUntil(child.stderr.getReader(), (text) => /^listening on .*\n/m.test(text));
  url = new URL(begin.match(/listening on (.*)/)![1] as string);
  wanted = await served();
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await endChildren();
});

/** The answer that everybody else gets. */
async function served(): Promise<Json> {
  return (await json(post(`${url}v1/completions`, BODY))).choices;
}

/** A connection that says this much. */
async function open(text = ""): Promise<Socket> {
  const socket = connect(Number(url.port), url.hostname);
  sockets.push(socket);
  socket.on("error", () => {});
  await new Promise<void>((resolve) => socket.once("connect", () => socket.write(text, () => resolve())));
  return socket;
}

/** What comes back until the other end closes. */
function answerOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (data) => (text += data));
    socket.once("close", () => resolve(text));
  });
}

/** Bytes that the server has in memory. */
function resident(): number {
  return 1024 * Number(Bun.spawnSync(["ps", "-o", "rss=", "-p", `${child.pid}`]).stdout.toString());
}

const head = (length: number | "chunked") => {
  const size = length === "chunked" ? "transfer-encoding: chunked" : `content-length: ${length}`;
  return `POST /v1/completions HTTP/1.1\r\nhost: x\r\n${size}\r\n\r\n`;
};

test(`${CONNECTIONS} connections that say nothing, or not all`, async () => {
  const text = JSON.stringify(BODY);
  const parts = ["", "P", head(text.length).slice(0, -2), head(text.length), head(text.length) + text.slice(0, -1)];
  for (let i = 0; i < CONNECTIONS; i += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, j) => open(parts[(i + j) % parts.length])));
  }
  expect(sockets.filter(({ destroyed }) => destroyed).length).toBe(0);
  expect(await served()).toEqual(wanted);
  // One of those whose last byte comes now is answered too.
  const late = await open(head(text.length) + text.slice(0, -1));
  const answer = answerOf(late);
  late.write("}");
  late.end();
  await answer;
  for (const socket of sockets.splice(0)) socket.destroy();
  expect(await served()).toEqual(wanted);
});

test("bodies that are sent byte by byte", async () => {
  const slow = await Promise.all(Array.from({ length: 20 }, () => open(head(1000))));
  const timer = setInterval(() => {
    for (const socket of slow) socket.write(" ");
  }, 20);
  try {
    for (let i = 0; i < 5; i++) expect(await served()).toEqual(wanted);
  } finally {
    clearInterval(timer);
    for (const socket of slow) socket.destroy();
  }
});

test.each(["told", "untold"])(`bodies of ${BODY_BYTES / 2 ** 20} MiB, their size %s`, async (told) => {
  const before = resident();
  const send = async () => {
    const socket = await open(head(told === "told" ? BODY_BYTES : "chunked"));
    const answer = answerOf(socket);
    const chunk = Buffer.alloc(MOST_BODY, " ");
    const framed = told === "told" ? chunk : Buffer.concat([Buffer.from("100000\r\n"), chunk, Buffer.from("\r\n")]);
    for (let sent = 0; sent < BODY_BYTES && !socket.destroyed; sent += MOST_BODY) {
      await new Promise<void>((resolve) => {
        socket.once("close", resolve);
        socket.write(framed, () => {
          socket.off("close", resolve);
          resolve();
        });
      });
    }
    socket.end();
    return answer;
  };
  const sending = Promise.all([send(), send()]);
  let most = 0;
  let ended = false;
  sending.finally(() => (ended = true));
  while (!ended) {
    expect(await served()).toEqual(wanted);
    most = Math.max(most, resident());
  }
  for (const answer of await sending) expect(answer).toMatch(/^(HTTP\/1.1 413 |$)/);
  expect((most - before) / 2 ** 20).toBeLessThan(GROWTH);
});

test("a body that may be large is received whole", async () => {
  const size = 130 * 2 ** 20;
  const told = async (request: Request) => new Response(`${(await request.arrayBuffer()).byteLength}`);
  const listening = await listen(told, { host: "127.0.0.1", port: 0 });
  expect(await (await fetch(listening.url, { method: "POST", body: new Uint8Array(size) })).text()).toBe(`${size}`);
  await listening.close();
});

test("answers that nobody reads", async () => {
  const text = JSON.stringify({ ...BODY, max_tokens: 1e6, ignore_eos: true, stream: true });
  const before = resident();
  const deaf = await open(head(text.length) + text);
  deaf.pause();
  for (let i = 0; i < 20; i++) expect(await served()).toEqual(wanted);
  expect((resident() - before) / 2 ** 20).toBeLessThan(GROWTH);
  deaf.destroy();
  const metrics = async () => (await fetch(`${url}metrics`)).text();
  await until(async () => /^lambent_sessions_open\{.*\} 0$/m.test(await metrics()));
});
