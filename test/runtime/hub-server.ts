/** A server that behaves like the Hugging Face hub, with a second one as its CDN, and faults on demand. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What goes wrong with one request for a file; the next one takes the next fault. */
export interface Fault {
  /** Answer with this status instead. */
  status?: number;
  headers?: Record<string, string>;
  /** Break the connection after this many bytes of the body, when they have arrived, or at once if `abrupt`. */
  cut?: number;
  abrupt?: boolean;
  /** Send nothing more after this many bytes, but stay connected. */
  stall?: number;
  /** Send the whole file whatever range was asked for. */
  whole?: boolean;
  /** Send these bytes as the file. */
  content?: Uint8Array;
  /** Pause between pieces of 1000 bytes. */
  slow?: number;
}

export interface Repo {
  sha: string;
  files: Record<string, Uint8Array>;
  /** Status for those without the token. */
  closed?: { status: number; code: string };
}

export interface Seen {
  server: "hub" | "cdn";
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const gitSha1 = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
/** As on the hub: weights are LFS files, text is in git. */
export const isLfs = (name: string): boolean => /\.(safetensors|bin)$/.test(name);
export const oidOf = (name: string, bytes: Uint8Array): string => (isLfs(name) ? sha256(bytes) : gitSha1(bytes));

export const TOKEN = "hf_secret";

export class HubServer {
  readonly repos: Record<string, Repo> = {};
  readonly seen: Seen[] = [];
  /** By file name, or "api" for requests to /api. */
  readonly faults = new Map<string, Fault[]>();
  /** Changes API answers. */
  twist: (path: string, answer: unknown) => unknown = (_, answer) => answer;
  /** Changes the headers of files, answers with a status of its own, or with -1 not at all. */
  head: (file: string, headers: Record<string, string>, method: string) => number | undefined = () => undefined;
  /** What is before the paths of the hub, "/repository/hf" of a proxy. */
  prefix = "";
  /** Returns when this many bytes of this content are on the client's disk. */
  arrived: (oids: string[], length: number) => Promise<void> = async () => {};
  /** Where files of LFS are. */
  cdn = "";
  endpoint = "";
  private servers: Server[] = [];

  async start(): Promise<this> {
    this.endpoint = await this.listen("hub");
    this.cdn = await this.listen("cdn");
    return this;
  }

  stop(): void {
    for (const server of this.servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  /** The requests so far in short, "GET model.safetensors" or "GET api/revision", and forgets them. */
  requests(): string[] {
    const all = this.seen.splice(0).map(({ server, method, path }) => {
      if (path.startsWith("/api/")) return `${method} api/${/\/(revision|tree)\//.exec(path)?.[1]}`;
      return `${method} ${server === "cdn" ? "cdn/" : ""}${path.split("/").at(-1)}`;
    });
    return all;
  }

  private listen(name: Seen["server"]): Promise<string> {
    const server = createServer((request, response) => {
      request.resume();
      request.on("end", () => {
        const whole = decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname);
        const path = name === "hub" && whole.startsWith(this.prefix) ? whole.slice(this.prefix.length) : whole;
        this.seen.push({ server: name, method: request.method ?? "", path, headers: request.headers });
        if (name === "cdn") this.cdnFile(path, request, response);
        else this.hub(path, request, response);
      });
    });
    this.servers.push(server);
    return new Promise((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
    });
  }

  private hub(path: string, request: IncomingMessage, response: ServerResponse): unknown {
    const api = /^\/api\/models\/(.+?)\/(revision|tree)\/(.+)$/.exec(path);
    const resolve = /^\/(.+?)\/resolve\/(.+?)\/(.+)$/.exec(path);
    const [, id = "", rest = "", revision = ""] = api ?? [null, resolve?.[1], resolve?.[3], resolve?.[2]];
    const repo = this.repos[id];
    const refuse = (status: number, code: string) => {
      response.writeHead(status, { "x-error-code": code, "content-type": "application/json" });
      response.end(JSON.stringify({ error: code }));
    };
    if (!repo) return refuse(404, "RepoNotFound");
    if (repo.closed && request.headers.authorization !== `Bearer ${TOKEN}`) {
      return refuse(repo.closed.status, repo.closed.code);
    }
    if (revision !== "main" && revision !== "HEAD" && revision !== repo.sha) return refuse(404, "RevisionNotFound");
    if (api) {
      const fault = this.faults.get("api")?.shift();
      if (fault) return this.send(request, response, {}, new Uint8Array(100), { status: 200, ...fault });
      const entry = (name: string) => {
        const bytes = repo.files[name]!;
        const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 130 };
        return { type: "file", path: name, size: bytes.length, oid: gitSha1(bytes), ...(isLfs(name) ? { lfs } : {}) };
      };
      const names = Object.keys(repo.files);
      const info = { _id: "1", id, private: false, gated: false, downloads: 0, likes: 0, lastModified: 0 };
      const answer =
        rest === "revision"
          ? { ...info, sha: repo.sha, siblings: names.map((rfilename) => ({ rfilename })) }
          : names.map(entry);
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(this.twist(path, answer)));
      return undefined;
    }
    const bytes = repo.files[rest];
    if (!bytes) return refuse(404, "EntryNotFound");
    const headers: Record<string, string> = { "x-repo-commit": repo.sha };
    const head = request.method === "HEAD";
    if (isLfs(rest)) {
      headers["x-linked-etag"] = `"${sha256(bytes)}"`;
      headers["x-linked-size"] = String(bytes.length);
      headers.location = `${this.cdn}/${id}/-/${rest}`;
    } else headers.etag = `"${gitSha1(bytes)}"`;
    const status = this.head(rest, headers, request.method ?? "");
    if (status === -1) return undefined;
    if (status) return response.writeHead(status, headers).end();
    if (headers.location) return response.writeHead(302, headers).end("Found");
    return this.send(request, response, headers, bytes, head ? {} : this.take(rest));
  }

  private cdnFile(path: string, request: IncomingMessage, response: ServerResponse): void {
    const [, id = "", name = ""] = /^\/(.+)\/-\/(.+)$/.exec(path) ?? [];
    const bytes = this.repos[id]?.files[name];
    if (!bytes || request.headers.authorization) response.writeHead(400).end("no file, or a token sent to the CDN");
    else
      this.send(request, response, { etag: '"of-the-cdn"' }, bytes, request.method === "HEAD" ? {} : this.take(name));
  }

  private take(name: string): Fault {
    return this.faults.get(name)?.shift() ?? {};
  }

  private send(
    request: IncomingMessage,
    response: ServerResponse,
    headers: Record<string, string>,
    right: Uint8Array,
    fault: Fault,
  ): void {
    if (fault.status && fault.status !== 200) {
      response.writeHead(fault.status, fault.headers).end("fault");
      return;
    }
    const content = fault.content ?? right;
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? Number.NaN);
    const end = Number(/-(\d+)$/.exec(request.headers.range ?? "")?.[1] ?? content.length - 1);
    const condition = request.headers["if-range"];
    const ranged = !fault.whole && start >= 0 && (condition === undefined || condition === headers.etag);
    if (ranged && start >= content.length) {
      response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
      return;
    }
    const body = ranged ? content.subarray(start, end + 1) : content;
    const length = { "accept-ranges": "bytes", "content-length": body.length };
    const range = ranged ? { "content-range": `bytes ${start}-${end}/${content.length}` } : {};
    response.writeHead(ranged ? 206 : 200, { ...headers, ...length, ...range, ...fault.headers });
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const limit = fault.cut ?? fault.stall ?? body.length;
    const finish = () => {
      if (fault.cut !== undefined) {
        const all = fault.abrupt || limit >= body.length ? 0 : (ranged ? start : 0) + limit;
        this.arrived([gitSha1(right), sha256(right)], all).then(() => response.socket?.destroy());
      } else if (fault.stall === undefined) response.end();
    };
    if (fault.slow === undefined) {
      response.flushHeaders();
      response.write(body.subarray(0, limit), finish);
      return;
    }
    const step = (at: number) => {
      if (at >= limit) return finish();
      response.write(body.subarray(at, Math.min(at + 1000, limit)), () => setTimeout(step, fault.slow, at + 1000));
    };
    step(0);
  }
}
