/** Databases of Debian's packages, started on loopback for a test, with all they write in a folder of their own. */
import { chownSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A database that runs. */
export interface Service {
  readonly url: string;
  /** Stops answering, and starts again with what it had. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

const running = new Set<() => Promise<void>>();

/** Ends what a test left running. */
export async function stopServices(): Promise<void> {
  for (const stop of running) await stop();
}

/** A program, or undefined with a word on why tests are skipped. */
function program(name: string, places: readonly string[], debian: string): string | undefined {
  const found = Bun.which(name) ?? places.flatMap((place) => globSync(place)).find(existsSync);
  if (!found) console.warn(`skipped: there is no ${name} here (Debian: apt-get install ${debian})`);
  return found;
}

export const REDIS = program("redis-server", [], "redis-server");
const INITDB = program("initdb", ["/usr/lib/postgresql/*/bin/initdb"], "postgresql");
/** The folder of PostgreSQL's programs. */
export const POSTGRES = INITDB && join(INITDB, "..");

export async function startRedis(): Promise<Service> {
  const folder = mkdtempSync(join(tmpdir(), "lambent-redis-"));
  const port = await freePort();
  const command = [REDIS as string, "--bind", "127.0.0.1", "--port", `${port}`, "--dir", folder, "--save", ""];
  return service(command, folder, `redis://127.0.0.1:${port}`, "Ready to accept connections");
}

/** Refuses to run as root: as the user `postgres`, whom the package has made. */
export async function startPostgres(): Promise<Service> {
  const folder = mkdtempSync(join(tmpdir(), "lambent-postgres-"));
  const root = process.getuid?.() === 0;
  const as = root ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
  if (root) chownSync(folder, idOf("u"), idOf("g"));
  const data = join(folder, "data");
  const made = Bun.spawnSync([
    ...as,
    ...[
      `${POSTGRES}/initdb`,
      "-D",
      data,
      "-U",
      "lambent",
      "--auth=trust",
      "--no-sync",
      "--encoding=UTF8",
      "--locale=C",
    ],
  ]);
  if (made.exitCode !== 0) throw new Error(`initdb: ${made.stderr}`);
  const port = await freePort();
  const settings = ["-h", "127.0.0.1", "-p", `${port}`, "-k", folder, "-c", "fsync=off", "-c", "shared_buffers=32MB"];
  const command = [...as, `${POSTGRES}/postgres`, "-D", data, ...settings];
  return service(command, folder, `postgres://lambent@127.0.0.1:${port}/postgres`, "ready to accept connections");
}

function idOf(kind: "u" | "g"): number {
  return Number(Bun.spawnSync(["id", `-${kind}`, "postgres"]).stdout.toString());
}

async function service(command: string[], folder: string, url: string, ready: string): Promise<Service> {
  const log = join(folder, "log");
  const child = Bun.spawn(command, { stdin: "ignore", stdout: Bun.file(log), stderr: Bun.file(`${log}.errors`) });
  const stop = async () => {
    running.delete(stop);
    child.kill("SIGCONT");
    // PostgreSQL's immediate shutdown; Redis has nothing to lose either.
    child.kill("SIGQUIT");
    await child.exited;
    rmSync(folder, { recursive: true, force: true });
  };
  running.add(stop);
  const said = () =>
    [log, `${log}.errors`].map((file) => (existsSync(file) ? readFileSync(file, "utf8") : "")).join("");
  while (!said().includes(ready)) {
    if (child.exitCode !== null) throw new Error(`${command.join(" ")}: ${said()}`);
    await Bun.sleep(20);
  }
  return { url, pause: () => child.kill("SIGSTOP"), resume: () => child.kill("SIGCONT"), stop };
}

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
