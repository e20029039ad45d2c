/** A process of `lambent batch --workers`: loads the model that it is told of, then answers requests. */
import { LambentError } from "../base/errors.ts";
import { messageOf } from "../base/realm.ts";
import { detectHost } from "../runtime/detect.ts";
import { provideRuntime } from "../runtime/index.ts";
import { answerHere } from "./batch_model.ts";
import type { FromWorker, ToWorker } from "./batch_workers.ts";

provideRuntime(detectHost);
// Ctrl-C reaches all processes of a terminal; the one that has started this one ends it.
process.on("SIGINT", () => {});
process.once("disconnect", () => process.exit());

const tell = (message: FromWorker) => process.send?.(message);
let model: Awaited<ReturnType<typeof answerHere>> | undefined;

process.on("message", async (message: ToWorker) => {
  if ("request" in message) {
    const { number, request } = message;
    if (model) tell({ number, outcome: await model.answer(request) });
    return;
  }
  try {
    model = await answerHere(message.model);
    tell({ warnings: model.warnings });
  } catch (error) {
    if (!(error instanceof LambentError)) throw error;
    tell({ failed: `${messageOf(error)}` });
  }
});
