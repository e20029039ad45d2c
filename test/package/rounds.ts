/**
 * Memory over rounds of load, generate and dispose, in every host with files: `npm run rounds` prints it, few_rounds.ts looks
 * at a few.
 */
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { project, removeProjects } from "./tarball.ts";
import { bun, deno, installAllTools, node22, node24 } from "./tools.ts";

export const HOSTS = [
  { host: "Node 22", words: () => [node22(), "--expose-gc"] },
  { host: "Node 24", words: () => [node24(), "--expose-gc"] },
  { host: "Bun", words: () => [bun] },
  { host: "Deno", words: () => [deno(), "run", "-A", "--no-check", "--v8-flags=--expose-gc"] },
] as const;
export const PLACES = ["in place", "in a worker", "abandoned"] as const;
type Place = (typeof PLACES)[number];

/** The memory of a process after this many rounds; seconds are those of a round since the line before. */
export interface Held {
  readonly round: number;
  readonly megabytes: number;
  readonly threads: number;
  readonly seconds: number;
}

/** Whether /proc tells what a process holds. */
export const TOLD = existsSync("/proc/self/status");

let folder: Promise<string> | undefined;

/** Rounds with two threads in a process of their own, and what it held after each of `marks`. */
export async function rounds(words: readonly string[], place: Place, marks: readonly number[]): Promise<Held[]> {
  folder ??= project("rounds");
  const program = join(await folder, "rounds.ts");
  copyFileSync(join(import.meta.dir, "rounds_program.ts"), program);
  const child = Bun.spawn([...words, program, place, "2", ...marks.map(String)], { cwd: await folder });
  const printed = await new Response(child.stdout).text();
  const code = await child.exited;
  if (code !== 0) throw new Error(`${words[0]}: exit code ${code} after ${printed}`);
  return printed
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

if (import.meta.main) {
  const marks = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [20, 50, 100, 150, 200];
  await installAllTools();
  console.log(
    `MB resident after rounds of load, generate and dispose, two threads (threads of the process; ms a round)`,
  );
  console.log(["host", "engine", ...marks].join("\t"));
  for (const { host, words } of HOSTS) {
    for (const place of PLACES) {
      const held = await rounds(words(), place, marks);
      const cells = held.map(({ megabytes, threads, seconds }) => {
        return `${megabytes.toFixed(0)} (${threads}; ${(1000 * seconds).toFixed(0)})`;
      });
      console.log([host, place, ...cells].join("\t"));
    }
  }
  removeProjects();
}
