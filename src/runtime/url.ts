import { ModelError, mismatch } from "../errors.ts";
import type { ByteSource, Files } from "../source.ts";

/** A directory on an HTTP server, such as `https://example.com/models/small/`: files are read by ranges, nothing is kept. */
export function webDirectory(url: string): Files {
  const base = url.endsWith("/") ? url : `${url}/`;
  return { name: url, open: (file) => openUrl(new URL(file, base).href) };
}

async function openUrl(url: string): Promise<ByteSource | undefined> {
  const probe = await get(url, 0, 1);
  await probe.body?.cancel();
  if (probe.status === 404) return undefined;
  const range = probe.headers.get("content-range")?.match(/^bytes 0-0\/(\d+)$/);
  if (probe.status === 416) return source(url, 0); // an empty file has no first byte
  if (probe.status === 206 && range) return source(url, Number(range[1]));
  throw new ModelError(mismatch(url, "an answer to a range request (206)", probe.status));
}

function get(url: string, begin: number, end: number): Promise<Response> {
  return fetch(url, { headers: { Range: `bytes=${begin}-${end - 1}` } }).catch((error) => {
    throw new ModelError(mismatch(url, "an answer", error instanceof Error ? error.message : error));
  });
}

function source(url: string, size: number): ByteSource {
  return {
    name: url,
    size,
    async readInto(target, offset) {
      if (target.length === 0) return;
      const answer = await get(url, offset, offset + target.length);
      if (answer.status !== 206 || !answer.body) throw new ModelError(mismatch(url, "a range (206)", answer.status));
      let done = 0;
      for await (const part of answer.body) {
        if (done + part.length > target.length) break;
        target.set(part, done);
        done += part.length;
      }
      if (done < target.length) {
        throw new ModelError(mismatch(url, `${target.length} bytes from ${offset} on`, `${done}: the answer was cut`));
      }
    },
    async close() {},
  };
}
