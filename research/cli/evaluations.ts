import type { Command } from "commander";
import { needNoReader } from "../../src/cli/streams.ts";
import { addAblation } from "./ablation.ts";
import { addCalibrate } from "./calibrate.ts";
import { addContinuation } from "./continuation.ts";
import { addDiagnose } from "./diagnose.ts";
import { addNll } from "./nll.ts";
import { addPasskey } from "./passkey.ts";
import { addRecall } from "./recall.ts";
import { addReproduce } from "./reproduce.ts";
import { addStream } from "./stream.ts";
import { addSystemTurn } from "./system_turn.ts";

/** The paper's tables and figures: `eval nll`, `eval passkey` and so on, `diagnose` and `reproduce`. */
export function addEvaluations(program: Command, signal: AbortSignal): void {
  // Results are files, so output need not have a reader.
  needNoReader();
  const evaluation = program
    .command("eval")
    .description("measure a model on a text: the tables and figures of the LM-Infinite paper");
  addNll(evaluation, signal);
  addAblation(evaluation, signal);
  addContinuation(evaluation, signal);
  addStream(evaluation, signal);
  addPasskey(evaluation, signal);
  addRecall(evaluation, signal);
  addSystemTurn(evaluation, signal);
  addCalibrate(program, signal);
  addDiagnose(program, signal);
  addReproduce(program, signal);
}
