/** A download that resumes where it broke off and is verified by hash before it becomes visible. */
import { createHash, type Hash } from "node:crypto";
import { constants, type FileHandle, open } from "node:fs/promises";
import { ModelError, mismatch } from "../base/errors.ts";
import { type Client, Transient } from "./hub_client.ts";

/** A file to download. */
export interface RemoteFile {
  /** Path in the repository. */
  name: string;
  size: number;
  /** Its ETag, the key in the cache. */
  oid: string;
  /**
   * The kind of ETag: SHA-256 of the bytes, or SHA-1 of them, plain or as a git blob; undefined if it only identifies a
   * version.
   */
  hash: "sha256" | "sha1" | undefined;
}

/** A partial download: the bytes on disk, and their hash. */
class Part {
  length = 0;
  excess = false;
  /** Its name in errors. */
  private hashes: Record<string, Hash> = {};

  constructor(
    private readonly handle: FileHandle,
    private readonly file: RemoteFile,
  ) {
    this.start();
  }

  private start(): void {
    this.length = 0;
    this.excess = false;
    const { hash, size } = this.file;
    this.hashes = {};
    if (hash === "sha256") this.hashes = { "SHA-256": createHash("sha256") };
    const git = () => createHash("sha1").update(`blob ${size}\0`);
    if (hash === "sha1") this.hashes = { "git SHA-1": git(), "SHA-1": createHash("sha1") };
  }

  /** Continues from the bytes of an earlier run. */
  async resume(signal: AbortSignal): Promise<void> {
    const { size } = await this.handle.stat();
    if (size > this.file.size) return this.drop();
    const buffer = new Uint8Array(Math.min(size, 1 << 20));
    while (this.length < size) {
      signal.throwIfAborted();
      const { bytesRead } = await this.handle.read(buffer, 0, buffer.length, this.length);
      if (bytesRead === 0) break;
      this.update(buffer.subarray(0, bytesRead));
      this.length += bytesRead;
    }
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.excess = this.length + chunk.length > this.file.size;
    if (this.excess) return;
    for (let done = 0; done < chunk.length; ) {
      done += (await this.handle.write(chunk, done, chunk.length - done, this.length + done)).bytesWritten;
    }
    this.update(chunk);
    this.length += chunk.length;
  }

  private update(bytes: Uint8Array): void {
    for (const hash of Object.values(this.hashes)) hash.update(bytes);
  }

  async drop(): Promise<void> {
    await this.handle.truncate(0);
    this.start();
  }

  /** What is wrong with the finished file; undefined if it is correct. */
  verdict(): string | undefined {
    const { name, size, oid } = this.file;
    if (this.excess) return mismatch(name, `${size} bytes`, "more");
    const found = Object.entries(this.hashes).map(([kind, hash]) => [kind, hash.digest("hex")] as const);
    const [first] = found;
    if (!first || found.some(([, digest]) => digest === oid)) return undefined;
    return mismatch(name, `${first[0]} ${oid}`, first[1]);
  }
}

/**
 * Downloads the file to `path` and returns when it is verified and on disk. On an error `path` contains a correct
 * prefix, from which a later call continues. Wrong content is discarded and downloaded once more.
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

/** One request for the missing bytes. */
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
    const tells = answer.etag !== undefined && (!file.hash || /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(answer.etag));
    const other = tells && answer.etag !== oid;
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
