/**
 * The cache as Python's huggingface_hub fills it from the same hub: the same commits, blobs and links, and each uses what the
 * other fetched. Prints its counts and exits with 1 on a difference.
 */
import { cpSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { downloadModel } from "../../src/sources/hub.ts";
import { python } from "./python.ts";

const VARIANTS = ["hub", "sharded", "proxy", "plain", "other-tags", "folder"];
const ID = "org/name";

/** Every entry of a cache that both must agree about: what links point to, what files hold. */
function entries(cache: string): Record<string, string> {
  const found: Record<string, string> = {};
  const root = join(cache, "models--org--name");
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" }).sort()) {
    const path = join(root, name);
    // What each notes for itself: files that are missing, locks, lists.
    if (!/^(refs|blobs|snapshots)\//.test(name) || lstatSync(path).isDirectory()) continue;
    found[name] = lstatSync(path).isSymbolicLink() ? readlinkSync(path) : Bun.hash(readFileSync(path)).toString(16);
  }
  return found;
}

/** Runs a server of a variant meanwhile; in a process of its own, for this one waits for Python. */
async function withServer<T>(variant: string, work: (endpoint: string) => Promise<T>): Promise<T> {
  const command = [process.execPath, join(import.meta.dir, "hub_server.ts"), variant];
  const server = Bun.spawn(command, { stdout: "pipe", stdin: "ignore" });
  try {
    const { value } = await server.stdout.getReader().read();
    return await work(new TextDecoder().decode(value).trim());
  } finally {
    server.kill();
    await server.exited;
  }
}

let wrong = 0;
let compared = 0;
for (const variant of VARIANTS) {
  const folder = mkdtempSync(join(tmpdir(), "lambent-wild-hub-"));
  const [theirs, ours, copy] = ["theirs", "ours", "copy"].map((name) => join(folder, name)) as [string, string, string];
  try {
    const part = variant === "folder" ? "a/b" : "";
    const differences = await withServer(variant, async (endpoint) => {
      const options = { endpoint, folder: part, token: "" };
      python("hub.py", ["fetch", endpoint, theirs, part]);
      await downloadModel(ID, { ...options, cacheDir: ours });
      const [a, b] = [entries(theirs), entries(ours)];
      const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
      compared += names.length;
      const odd = names.filter((name) => a[name] !== b[name]).map((name) => `${name}: ${a[name]} and ${b[name]}`);
      // Each on what the other fetched, without a network.
      const local = python("hub.py", ["local", "http://127.0.0.1:1", ours, part]).trim();
      if (local !== "") odd.push(`Python misses ${local}`);
      cpSync(theirs, copy, { recursive: true, verbatimSymlinks: true });
      await downloadModel(ID, { ...options, endpoint: "http://127.0.0.1:1", cacheDir: copy, offline: true }).catch(
        (error) => odd.push(`we miss ${error.message}`),
      );
      return odd;
    });
    wrong += differences.length;
    console.log(`${variant}: ${differences.length ? differences.join("; ") : "the same"}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
console.log(`${VARIANTS.length} hubs, ${compared} entries compared, ${wrong} differences`);
process.exit(wrong ? 1 : 0);
