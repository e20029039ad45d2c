/** One model on its whole way from files to text, and what may come of it. */

import { LambentError } from "../../src/base/errors.ts";
import { Engine, type LoadingOptions } from "../../src/engine/engine.ts";
import type { Checkpoint } from "../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../src/formats/open.ts";
import { planModel } from "../../src/plan/plan_checkpoint.ts";
import { LocalService } from "../../src/service/local.ts";
import { loadTokenizer } from "../../src/session/load_tokenizer.ts";
import { Session } from "../../src/session/session.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { kernels } from "../setup.ts";
import { type Draft, DraftFiles } from "./draft.ts";
import { Absurd, MOST_BYTES, type Watch } from "./watch.ts";

const PROMPT = "the cat, in a hat! é";
const IDS = [1, 0, 60, 7];

/** How it ended: it works, or it was refused in these words. */
export type Outcome = "works" | { readonly refused: string };

/** Loads a draft and lets it write. Throws for everything that is not allowed: that is a bug. */
export async function attempt(draft: Draft, watch: Watch): Promise<Outcome> {
  const files = new DraftFiles(draft.render());
  watch.begin();
  let outcome: Outcome = "works";
  try {
    await use(draft, files);
  } catch (error) {
    outcome = { refused: refusal(error) };
  }
  const wrong = watch.verdict() ?? (files.current > 0 ? `${files.current} files left open` : undefined);
  if (wrong) throw new Error(wrong);
  return outcome;
}

/** The message of an error that users may see. Any other error is thrown on. */
function refusal(error: unknown): string {
  if (!(error instanceof LambentError)) throw error;
  const { message } = error;
  const good = message.length < 1000 && /^\S[^\p{Cc}\u2028\u2029]*: expected [^\p{Cc}\u2028\u2029]+$/u.test(message);
  if (!good) throw new Error(`not one short line that names a thing: ${JSON.stringify(message)}`, { cause: error });
  return message;
}

async function use(draft: Draft, files: DraftFiles): Promise<void> {
  const checkpoint = await openCheckpoint(files);
  try {
    const { planOnly } = draft.base;
    const reads = !planOnly || draft.touches("tokenizer.json") || draft.touches("tokenizer_config.json");
    const tokenizer = reads ? await loadTokenizer(checkpoint) : undefined;
    tokenizer?.decode(tokenizer.encode(PROMPT));
    const options = draft.options as LoadingOptions;
    const { memoryBytes } = planModel(checkpoint, options).plan;
    if (planOnly) return;
    // Who asks for a large window gets it; files of a few bytes cannot.
    if (memoryBytes > MOST_BYTES / 2) {
      if (Object.keys(options).length > 0) return;
      throw new Absurd(`a plan of ${memoryBytes} bytes`);
    }
    const engine = await Engine.load(checkpoint, await kernels(), options);
    await sameTwice(() => (tokenizer ? write(engine, tokenizer, checkpoint) : read(engine)));
  } finally {
    await checkpoint.close();
  }
}

async function sameTwice(run: () => Promise<string>): Promise<void> {
  const first = await run();
  const second = await run();
  if (first !== second) throw new Error(`the second time ${second}, the first time ${first}`);
}

/** A few tokens of text, as the library's users get them. */
async function write(engine: Engine, tokenizer: Tokenizer, checkpoint: Checkpoint): Promise<string> {
  const { config, generationConfig } = checkpoint;
  const service = new LocalService(engine);
  const session = new Session(
    { service, tokenizer, config, generationConfig },
    await service.open({ startPosition: 0, seed: 1 }),
  );
  try {
    const generation = session.generate(PROMPT, { maxNewTokens: 4, seed: 1 });
    const text = await generation.text();
    const { logitsHash, finishReason } = await generation.result;
    if ((await session.logits())?.every(Number.isFinite) === false) throw new Error("a logit that is not finite");
    return `${JSON.stringify(text)} ${finishReason} ${logitsHash}`;
  } finally {
    session.dispose();
  }
}

/** The logits of a few ids: all that can be had without a tokenizer. */
async function read(engine: Engine): Promise<string> {
  const session = engine.open(0, 1);
  const hash = new Bun.CryptoHasher("sha1");
  try {
    const ids = IDS.map((id) => id % engine.program.vocabSize);
    await engine.forward(session, ids, (logits) => {
      if (!logits.every(Number.isFinite)) throw new Error("a logit that is not finite");
      hash.update(logits);
    });
  } finally {
    engine.dispose(session);
  }
  return hash.digest("hex");
}
