/** The whole command line, as a clone has it: the package's commands and the evaluations. */
import { runCommandLine } from "../../src/cli/command_line.ts";

await runCommandLine(async (program, signal) => (await import("./evaluations.ts")).addEvaluations(program, signal));
