#!/usr/bin/env node
import { LambentError } from "../base/errors.ts";
import { runCommandLine } from "./command_line.ts";

/** The commands of research/, which the package does not contain. */
const ELSEWHERE = ["eval", "diagnose", "reproduce"];

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
