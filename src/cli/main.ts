#!/usr/bin/env node
import { LambentError, mismatch } from "../base/errors.ts";
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
        const where = `a clone of lambent's repository, in which \`npm run lambent -- ${name}\` runs it`;
        throw new LambentError(mismatch(`lambent ${name}`, where, "the package, which has no evaluations"));
      });
  }
});
