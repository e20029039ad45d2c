import { ModelError, mismatch } from "../errors.ts";
import type { ByteSource, Files } from "../source.ts";
import { type Answer, Client, TIMING, Transient } from "./hub-client.ts";

/** A directory on an HTTP server, such as `https://example.com/models/small/`: files are read by ranges, nothing is kept. */
export function webDirectory(url: string, timing = TIMING, signal = new AbortController().signal): Files {
  const base = new URL(url.endsWith("/") ? url : `${url}/`);
  const client = new Client(base.origin, undefined, signal, timing);
  return { name: url, open: (file) => openFile(client, new URL(file, base).href) };
}

/** The part of a file from `begin` to `end`; the status is the caller's to judge. */
function ask(client: Client, url: string, begin: number, end: number): Promise<Answer> {
  return client.open(url, { subject: url, headers: { range: `bytes=${begin}-${end - 1}` } });
}

async function openFile(client: Client, url: string): Promise<ByteSource | undefined> {
  const size = await client.retry(async () => {
    const answer = await ask(client, url, 0, 1);
    answer.close();
    const { status, headers } = answer.response;
    if (status === 404) return undefined;
    if (status === 416) return 0; // an empty file has no first byte
    if (status >= 400) client.check(answer, url);
    const range = headers.get("content-range")?.match(/^bytes 0-0\/(\d+)$/);
    if (status === 206 && range) return Number(range[1]);
    throw new ModelError(mismatch(url, "a part of the file and its length (206, Content-Range)", status));
  });
  if (size === undefined) return undefined;
  return {
    name: url,
    size,
    readInto: (target, offset) => readRange(client, url, size, target, offset),
    async close() {},
  };
}

/** Fills `target`; what breaks off goes on where it broke. */
function readRange(client: Client, url: string, size: number, target: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  let before = 0;
  const attempt = async () => {
    before = done;
    if (done === target.length) return;
    const answer = await ask(client, url, offset + done, offset + target.length);
    client.check(answer, url);
    const expected = `bytes ${offset + done}-${offset + target.length - 1}/${size}`;
    const found = answer.response.headers.get("content-range");
    if (answer.response.status !== 206 || found !== expected) {
      answer.close();
      throw new ModelError(mismatch(url, `Content-Range ${expected}`, found ?? `HTTP ${answer.response.status}`));
    }
    for (let part = await answer.read(); part; part = await answer.read()) {
      if (done + part.length > target.length) {
        answer.close();
        throw new ModelError(mismatch(url, `${target.length} bytes from ${offset} on`, "more"));
      }
      target.set(part, done);
      done += part.length;
    }
    if (done < target.length) throw new Transient(mismatch(url, `${target.length} bytes from ${offset} on`, done));
  };
  return client.retry(attempt, () => done > before);
}
