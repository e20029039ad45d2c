#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { LambentError, show } from "../errors.ts";
import { messageOf } from "../realm.ts";
import { detectHost } from "../runtime/detect.ts";
import { provideRuntime } from "../runtime/index.ts";
import { VERSION } from "../version.ts";
import { addGenerate } from "./generate.ts";
import { addInspect } from "./inspect.ts";
import { addLogits } from "./logits.ts";
import { addQuantize } from "./quantize.ts";
import { lostOutput, warn, watchOutputs } from "./streams.ts";

provideRuntime(detectHost);

/** Exit codes: 0 done, 1 an error, 2 wrong usage, 130 interrupted. */
const abort = new AbortController();
process.once("SIGINT", () => {
  abort.abort();
  process.once("SIGINT", () => process.exit(130));
});
watchOutputs();
process.once("exit", () => {
  const lost = lostOutput();
  if (lost && !process.exitCode) process.exitCode = report(lost);
});

const program = new Command("lambent")
  .description("Language models in portable WebAssembly that never run out of context")
  .version(VERSION)
  .exitOverride()
  .configureOutput({ outputError: () => {} });
addGenerate(program, abort.signal);
addLogits(program, abort.signal);
addInspect(program, abort.signal);
addQuantize(program, abort.signal);
// What only evaluations need would make the others start later.
if (!program.commands.some((command) => command.name() === process.argv[2])) {
  (await import("./eval/index.ts")).addEvaluations(program, abort.signal);
}

try {
  await program.parseAsync();
  process.exitCode = abort.signal.aborted ? 130 : 0;
} catch (error) {
  process.exitCode = report(error);
}

/** One line on stderr; returns the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code === "commander.help") return 2; // no command: the help is on stderr already
    warn(error.message.split("\n")[0] as string, "");
    return 2;
  }
  if (abort.signal.aborted && error === abort.signal.reason) return 130;
  const message = String(messageOf(error));
  warn(error instanceof LambentError ? message : show(message), "error: ");
  return 1;
}
