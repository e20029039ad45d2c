import { ISOLATION } from "./site.ts";

/** Serves files from memory, with no caching headers. */
export function serveSite(site: ReadonlyMap<string, Uint8Array>, isolated: boolean, port: number) {
  return Bun.serve({
    port,
    fetch(request) {
      const path = decodeURIComponent(new URL(request.url).pathname).slice(1) || "index.html";
      const bytes = site.get(path);
      if (!bytes) return new Response(`${path}: not found`, { status: 404 });
      const etag = `"${Bun.hash(bytes).toString(16)}"`;
      const headers = { etag, "cache-control": "no-cache", ...(isolated ? ISOLATION : {}) };
      if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304, headers });
      return new Response(bytes as BodyInit, { headers: { ...headers, "content-type": Bun.file(path).type } });
    },
  });
}
