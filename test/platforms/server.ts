/** One server for every place: files by range, jobs and what becomes of them, and a store for snapshots. */
import { existsSync, statSync } from "node:fs";
import { join, normalize } from "node:path";
import type { Job, Report } from "./program/job.ts";

/** With these a page may share memory between threads. */
export const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const PAGE = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Lambent</title>`;

interface Posted {
  readonly job: Job;
  readonly onReport: (report: Report) => void;
}

export class PlatformServer implements Disposable {
  readonly #folders = new Map<string, string>();
  readonly #jobs = new Map<string, Posted>();
  readonly #store = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly #servers = [{}, ISOLATED].map((headers: Readonly<Record<string, string>>) =>
    Bun.serve({
      ...{ hostname: "127.0.0.1", port: 0, idleTimeout: 0 },
      fetch: async (request: Request) => {
        const response = await this.#answer(request);
        for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
        return response;
      },
    }),
  );
  #html = PAGE;
  #count = 0;

  /** Where it is, with a slash at the end; `isolated`: an origin whose pages may share memory. */
  url(isolated = false): string {
    return this.#servers[isolated ? 1 : 0]!.url.href;
  }

  /** Serves a folder's files under `/name/`. */
  serve(name: string, folder: string): void {
    this.#folders.set(name, folder);
  }

  /** What follows the head of the page at `/page`. */
  page(html: string): void {
    this.#html = PAGE + html;
  }

  /** Posts a job; its path. */
  post(job: Job, onReport: (report: Report) => void): string {
    const path = `jobs/${++this.#count}`;
    this.#jobs.set(path, { job, onReport });
    return path;
  }

  stored(key: string): Uint8Array<ArrayBuffer> | undefined {
    return this.#store.get(key);
  }

  [Symbol.dispose](): void {
    for (const server of this.#servers) server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const path = decodeURIComponent(new URL(request.url).pathname).slice(1);
    const posted = this.#jobs.get(path);
    if (posted && request.method === "POST") {
      posted.onReport((await request.json()) as Report);
      return new Response();
    }
    if (posted) return Response.json(posted.job);
    if (path.startsWith("store/")) {
      if (request.method === "PUT") this.#store.set(path.slice(6), new Uint8Array(await request.arrayBuffer()));
      const bytes = this.#store.get(path.slice(6));
      return bytes ? new Response(bytes) : notFound();
    }
    if (path === "page") return new Response(this.#html, { headers: { "Content-Type": "text/html" } });
    const [name = "", ...rest] = path.split("/");
    const folder = this.#folders.get(name);
    const file = join(folder ?? "", normalize(`/${rest.join("/")}`));
    if (!folder || !existsSync(file) || !statSync(file).isFile()) return notFound();
    return fileResponse(file, request.headers.get("range"));
  }
}

function notFound(): Response {
  return new Response("not found", { status: 404 });
}

function fileResponse(path: string, range: string | null): Response {
  const file = Bun.file(path);
  const headers = { "Accept-Ranges": "bytes", "Content-Type": file.type };
  const [, from, to] = range?.match(/^bytes=(\d+)-(\d*)$/) ?? [];
  if (from === undefined) return new Response(file, { headers });
  const begin = Number(from);
  const end = to ? Math.min(Number(to) + 1, file.size) : file.size;
  if (begin >= end) return new Response(null, { status: 416, headers: { "Content-Range": `bytes */${file.size}` } });
  return new Response(file.slice(begin, end), {
    status: 206,
    headers: { ...headers, "Content-Range": `bytes ${begin}-${end - 1}/${file.size}` },
  });
}
