#!/usr/bin/env node
import { existsSync } from "node:fs";
import { LambentError } from "../base/errors.ts";
import { runCommandLine } from "./command_line.ts";

/** The commands of research/, which the package does not contain; in a clone they are where this leads. */
const ELSEWHERE = ["eval", "diagnose", "reproduce"];
const CLONE = new URL("../../research/cli/main.ts", import.meta.url);

if (ELSEWHERE.includes(process.argv[2] ?? "") && existsSync(CLONE)) await import(CLONE.href);
else {
  await runCommandLine((program) => {
    for (const name of ELSEWHERE) {
      program
        .command(name, { hidden: true })
        .helpOption(false)
        .allowUnknownOption()
        .allowExcessArguments()
        .action(() => {
          const how = `clone lambent's repository and run \`npm run lambent -- ${name}\` there`;
          throw new LambentError(`lambent ${name} is not part of the package: ${how}`);
        });
    }
  });
}
