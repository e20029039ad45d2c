/** As a command with the job's URL: Bun, Deno, Node. */
import process from "node:process";
import { run } from "./run.ts";

await run(process.argv[2] as string);
