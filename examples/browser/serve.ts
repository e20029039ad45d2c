/**
 * Builds the page and serves it, or writes it as a static site.
 *
 *     npm run page -- [--port 8080] [--no-isolation] [--out DIR]
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { serveSite } from "./server.ts";
import { buildSite, ISOLATION } from "./site.ts";

const values = flags();
const isolated = !values["no-isolation"];
const site = await buildSite(isolated);
if (values.out === undefined) {
  const { url } = serveSite(site, isolated, Number(values.port));
  console.log(`${url.href}  (${isolated ? "isolated: threads" : "not isolated: one thread"}; stop with Ctrl+C)`);
} else await write(values.out);

/** Several static hosts read headers from `_headers`; elsewhere the page computes with one thread. */
async function write(directory: string): Promise<void> {
  const headers = Object.entries(ISOLATION).map(([name, value]) => `  ${name}: ${value}\n`);
  if (isolated) site.set("_headers", new TextEncoder().encode(`/*\n${headers.join("")}`));
  for (const [path, bytes] of site) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), bytes);
  }
  const size = [...site.values()].reduce((sum, bytes) => sum + bytes.length, 0);
  console.log(`${directory}: ${site.size} files, ${(size / 1e6).toFixed(1)} MB`);
}

function flags() {
  try {
    return parseArgs({
      options: {
        port: { type: "string", default: "8080" },
        "no-isolation": { type: "boolean", default: false },
        out: { type: "string" },
      },
    }).values;
  } catch (error) {
    console.error(`error: ${(error as Error).message}`);
    process.exit(2);
  }
}
