import type { Command } from "commander";
import { addPasskey } from "./passkey.ts";

/** The paper's tables and figures: `eval nll`, `eval passkey` and so on, `diagnose` and `reproduce`. */
export function addEvaluations(program: Command, signal: AbortSignal): void {
  const evaluation = program
    .command("eval")
    .description("measure a model on a text: the tables and figures of the LM-Infinite paper");
  addPasskey(evaluation, signal);
}
