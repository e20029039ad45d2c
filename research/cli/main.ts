/** The whole command line of a clone: the package's commands and the evaluations. */
import { runCommandLine } from "../../src/cli/command_line.ts";

await runCommandLine(async (program, signal) => (await import("./evaluations.ts")).addEvaluations(program, signal));
