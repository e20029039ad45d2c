import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { cleanUp, temporaryFolder } from "./child.ts";

/** Megabytes of a process and its descendants, shared pages counted once (Pss). */
function residentMB(pid: number): number {
  const read = (file: string) => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      return ""; // It has ended, or is not ours.
    }
  };
  const own = Number(/^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) * 1.024e-3;
  const children = read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean);
  return children.reduce((sum, child) => sum + residentMB(Number(child)), own);
}

const BROWSERS = ["chromium", "chromium-browser", "google-chrome"];

/**
 * Opens a module, of this folder or by its path, as a page in a headless, cross-origin isolated Chromium. The page finds the
 * packages of `folder` under /node_modules, the files under their names and its parameters as its query, and posts what it
 * found to /result: `{ result }` or `{ error }`. A post to the name of one of `calls` calls that. Also returns the memory
 * that all processes of the browser then hold, where there is /proc.
 */
export async function runPage<T extends object>(
  folder: string,
  script: string,
  files: Readonly<Record<string, string>>,
  parameters: Readonly<Record<string, unknown>>,
  timeout: number,
  calls: Readonly<Record<string, () => void>> = {},
): Promise<T & { readonly residentMB?: number }> {
  const browser = BROWSERS.map((name) => Bun.which(name)).find((path) => path !== null);
  if (!browser) throw new Error(`no browser on this machine: looked for ${BROWSERS.join(", ")}`);
  const { promise, resolve: found, reject } = Promise.withResolvers<T>();
  const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
  const file = (path: string) => new Response(Bun.file(path), { headers });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const path = decodeURIComponent(new URL(request.url).pathname);
      if (path === "/") {
        const html = `<!doctype html><meta charset="utf-8"><script type="module" src="/script.mjs"></script>`;
        return new Response(html, { headers: { ...headers, "Content-Type": "text/html" } });
      }
      if (path === "/result") {
        const answer = (await request.json()) as { result: T } | { error: string };
        if ("error" in answer) reject(new Error(answer.error));
        else found(answer.result);
        return new Response();
      }
      if (path.slice(1) in calls) {
        calls[path.slice(1)]?.();
        return new Response();
      }
      if (path === "/script.mjs") return file(resolve(import.meta.dirname, script));
      if (path.slice(1) in files) return file(files[path.slice(1)] as string);
      const module = join(folder, path);
      const packaged = path.startsWith("/node_modules/") && (await Bun.file(module).exists());
      return packaged ? file(module) : new Response("not found", { status: 404 });
    },
  });
  using profile = temporaryFolder();
  const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
  const query = Object.entries(parameters).map(([name, value]) => [name, `${value}`]);
  const url = `http://127.0.0.1:${server.port}/?${new URLSearchParams(query)}`;
  const child = Bun.spawn([browser, ...flags, `--user-data-dir=${profile.path}`, url], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  using _ = cleanUp(() => child.kill("SIGKILL"));
  const timer = setTimeout(() => reject(new Error(`no result within ${timeout / 1000} s`)), timeout);
  void child.exited.then((code) => reject(new Error(`the browser ended with exit ${code}`)));
  try {
    const result = await promise;
    return { ...result, ...(process.platform === "linux" && { residentMB: residentMB(child.pid) }) };
  } finally {
    clearTimeout(timer);
    child.kill("SIGKILL");
    await child.exited;
    await server.stop(true);
  }
}
