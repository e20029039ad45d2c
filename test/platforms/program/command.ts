/** As a command with the job's URL: Bun, Deno, Node. */
import process from "node:process";
import { embedded } from "lambent/embedded";
import { run } from "./run.ts";

await run(process.argv[2] as string, embedded);
