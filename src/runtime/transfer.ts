/** A file that is resumed where it broke off, and is right by its hash before anyone sees it. */
import { createHash, type Hash } from "node:crypto";
import { constants, type FileHandle, open } from "node:fs/promises";
import { ModelError, mismatch } from "../errors.ts";
import { type Client, Transient } from "./hub-client.ts";

export interface RemoteFile {
  /** Name in the repository. */
  name: string;
  size: number;
  /** SHA-256 of its bytes (64 digits), or its git SHA-1 (40 digits). */
  oid: string;
}

/** A file on its way: how much of it is on disk, and the hash of that. */
class Part {
  length = 0;
  excess = false;
  private hash!: Hash;

  constructor(
    private readonly handle: FileHandle,
    private readonly file: RemoteFile,
  ) {
    this.start();
  }

  private start(): void {
    this.length = 0;
    this.excess = false;
    this.hash = createHash(this.file.oid.length === 64 ? "sha256" : "sha1");
    if (this.file.oid.length !== 64) this.hash.update(`blob ${this.file.size}\0`);
  }

  /** Takes up what an earlier run left. */
  async resume(signal: AbortSignal): Promise<void> {
    const { size } = await this.handle.stat();
    if (size > this.file.size) return this.drop();
    const buffer = new Uint8Array(Math.min(size, 1 << 20));
    while (this.length < size) {
      signal.throwIfAborted();
      const { bytesRead } = await this.handle.read(buffer, 0, buffer.length, this.length);
      if (bytesRead === 0) break;
      this.hash.update(buffer.subarray(0, bytesRead));
      this.length += bytesRead;
    }
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.excess = this.length + chunk.length > this.file.size;
    if (this.excess) return;
    for (let done = 0; done < chunk.length; ) {
      done += (await this.handle.write(chunk, done, chunk.length - done, this.length + done)).bytesWritten;
    }
    this.hash.update(chunk);
    this.length += chunk.length;
  }

  async drop(): Promise<void> {
    await this.handle.truncate(0);
    this.start();
  }

  /** What is wrong with the finished file; undefined if nothing is. */
  verdict(): string | undefined {
    const { name, size, oid } = this.file;
    if (this.excess) return mismatch(name, `${size} bytes`, "more");
    const found = this.hash.digest("hex");
    const kind = oid.length === 64 ? "SHA-256" : "git SHA-1";
    return found === oid ? undefined : mismatch(name, `${kind} ${oid}`, found);
  }
}

/**
 * Fills `path` with the file and returns when it is right and on disk. On an error `path` holds a good beginning,
 * from which a later call goes on. Wrong content is dropped and fetched once more.
 */
export async function download(
  client: Client,
  url: string,
  file: RemoteFile,
  path: string,
  report: (length: number) => void,
): Promise<void> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o666);
  try {
    const part = new Part(handle, file);
    await part.resume(client.signal);
    for (let again = true; ; again = false) {
      let furthest = part.length;
      report(part.length);
      if (part.length < file.size) {
        await client.retry(
          () => receive(client, url, file, part, report),
          () => {
            const advanced = part.length > furthest;
            furthest = Math.max(furthest, part.length);
            return advanced;
          },
        );
      }
      const wrong = part.verdict();
      if (wrong === undefined) break;
      await part.drop();
      if (!again) throw new ModelError(wrong);
    }
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** One request for what is missing. */
async function receive(
  client: Client,
  url: string,
  file: RemoteFile,
  part: Part,
  report: (length: number) => void,
): Promise<void> {
  const { name: subject, size, oid } = file;
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (part.length > 0) Object.assign(headers, { range: `bytes=${part.length}-`, "if-range": `"${oid}"` });
  const answer = await client.open(url, { subject, headers });
  const { status } = answer.response;
  if (part.length > 0) {
    const range = answer.response.headers.get("content-range");
    const other = answer.etag !== undefined && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(answer.etag) && answer.etag !== oid;
    const fits = status === 206 && !other && range?.startsWith(`bytes ${part.length}-`);
    if (status === 416 || (status === 206 && !fits)) {
      answer.close();
      const found = status === 416 ? `${part.length}` : other ? `ETag ${answer.etag}` : `Content-Range ${range}`;
      const text = mismatch(subject, status === 416 ? `${size} bytes` : `the rest from byte ${part.length}`, found);
      await part.drop();
      throw new Transient(text);
    }
    if (status === 200) await part.drop();
  }
  client.check(answer, subject);
  try {
    for (let chunk = await answer.read(); chunk; chunk = await answer.read()) {
      await part.append(chunk);
      if (part.excess) return;
      report(part.length);
    }
  } finally {
    answer.close();
  }
  if (part.length < size) throw new Transient(mismatch(subject, `${size} bytes`, part.length));
}
