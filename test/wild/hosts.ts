/**
 * Ids of every code point, by tokenizers of several families, on several hosts: a hash printed by each.
 *
 *     bun test/wild/hosts.ts node path/to/node-22 path/to/deno
 */
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("hosts_program.ts", import.meta.url));
const GOLDEN = fileURLToPath(new URL("../tokenizer/golden.jsonl", import.meta.url));
const folder = fileURLToPath(new URL("../../build/wild-hosts", import.meta.url));

await Bun.build({ entrypoints: [PROGRAM], outdir: folder, target: "node", naming: "program.mjs" });
const printed = new Set<string>();
for (const host of [process.execPath, ...process.argv.slice(2)]) {
  const command = host.endsWith("deno") ? [host, "run", "--allow-read", "--allow-env"] : [host];
  const { stdout, stderr, exitCode } = Bun.spawnSync([...command, `${folder}/program.mjs`, GOLDEN]);
  const [about, hash] = `${stdout}`.trim().split("\n");
  if (exitCode !== 0 || !hash) throw new Error(`${host}: exit code ${exitCode}\n${stderr}`);
  console.log(`${about}: ${hash}`);
  printed.add(hash);
}
await rm(folder, { recursive: true });
console.log(printed.size === 1 ? "the same on all" : `${printed.size} different`);
process.exit(printed.size === 1 ? 0 : 1);
