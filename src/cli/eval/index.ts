import type { Command } from "commander";
import { addDiagnose } from "./diagnose.ts";

/** The paper's tables and figures: `eval nll`, `eval passkey` and so on, `diagnose` and `reproduce`. */
export function addEvaluations(program: Command, signal: AbortSignal): void {
  program.command("eval").description("measure a model on a text: the tables and figures of the LM-Infinite paper");
  addDiagnose(program, signal);
}
