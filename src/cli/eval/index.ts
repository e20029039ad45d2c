import type { Command } from "commander";

/** The paper's tables and figures: `eval nll`, `eval passkey` and so on, `diagnose` and `reproduce`. */
export function addEvaluations(program: Command, _signal: AbortSignal): void {
  program.command("eval").description("measure a model on a text: the tables and figures of the LM-Infinite paper");
}
