import { statSync } from "node:fs";
import { join, normalize } from "node:path";
import { ISOLATED } from "../platforms/server.ts";

/** A plain server of a folder's files; `isolated`: whose pages may share memory. */
export function serve(folder: string, isolated = false) {
  return Bun.serve({
    ...{ hostname: "127.0.0.1", port: 0 },
    fetch(request) {
      const path = join(folder, normalize(decodeURIComponent(new URL(request.url).pathname)));
      const file = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? join(path, "index.html") : path;
      if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return new Response("not found", { status: 404 });
      // Bun takes .ts for video.
      const type = file.endsWith(".ts") ? { "Content-Type": "application/typescript" } : {};
      return new Response(Bun.file(file), { headers: { ...type, ...(isolated ? ISOLATED : {}) } });
    },
  });
}
