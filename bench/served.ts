import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { cleanUp } from "./peers/child.ts";

const COMMAND = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const LISTENING = /listening on (\S+)/;

/** `lambent serve` in a process of its own. */
export interface Served extends AsyncDisposable {
  readonly url: string;
  /** Megabytes of the process; undefined where /proc is not. */
  residentMB(): number | undefined;
}

/** Starts it on a free port, and waits until it listens. */
export async function serve(...flags: string[]): Promise<Served> {
  const command = [process.execPath, COMMAND, "serve", "--port", "0", "--log", "none", ...flags];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const clean = cleanUp(() => child.kill("SIGKILL"));
  let said = "";
  const decoder = new TextDecoder();
  for await (const bytes of child.stderr) {
    said += decoder.decode(bytes, { stream: true });
    if (LISTENING.test(said)) break;
  }
  const url = LISTENING.exec(said)?.[1];
  if (url === undefined) throw new Error(`lambent serve: ${said.trim()}`);
  return {
    url,
    residentMB() {
      try {
        const [, kB] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8")) ?? [];
        return kB === undefined ? undefined : Number(kB) / 1000;
      } catch {
        return undefined;
      }
    },
    async [Symbol.asyncDispose]() {
      clean[Symbol.dispose]();
      await child.exited;
    },
  };
}

/** POSTs JSON; throws what the server says where it does not do it. */
export async function post(url: string, body: unknown): Promise<Response> {
  const response = await fetch(url, {
    ...{ method: "POST", headers: { "content-type": "application/json" } },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url}: ${response.status}: ${await response.text()}`);
  return response;
}
