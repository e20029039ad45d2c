/** Texts in sessions of their own. */
import { ModelError } from "../base/errors.ts";
import type { OpenOptions } from "../service/types.ts";
import { link, originOf } from "./chat_keys.ts";
import { encodePrompt, type Prompt, type SessionModel } from "./encode_prompt.ts";
import type { GenerateOptions } from "./generate_options.ts";
import { Generation } from "./generation.ts";
import { Keeper } from "./resume.ts";
import { isAbort, Session } from "./session.ts";

/** A text in a session that is opened when the text is first read and disposed of at its end. */
export function generateAlone(model: SessionModel, prompt: Prompt, options: GenerateOptions = {}): Generation {
  return new Generation(async function* (tally, signal) {
    if (signal.aborted) return;
    let session: Session;
    let rest: Prompt | undefined = prompt;
    try {
      const how = { wait: options.wait, signal };
      const keeper = await keeperOf(model, prompt, options, signal);
      const resumed = await resumedBy(model, keeper, how);
      session = resumed ?? new Session(model, await model.service.open(how));
      session.keepBy(keeper);
      if (resumed) rest = undefined;
    } catch (error) {
      if (isAbort(signal, error)) return;
      throw error;
    }
    try {
      yield* session.finalTokens(tally, rest, { ...options, signal });
    } finally {
      session.dispose();
    }
  }, options.signal);
}

/** What keeps the text, if something is to. */
async function keeperOf(model: SessionModel, prompt: Prompt, options: GenerateOptions, signal: AbortSignal) {
  if (options.resume === undefined) return undefined;
  const { facts } = model.service;
  const { ids } = await encodePrompt(model, prompt, options, { turn: "none", lastToken: -1, length: 0 });
  const of = await link(originOf(facts, facts.nGlobal), `${options.seed ?? ""} ${ids}`);
  return Keeper.open(options.resume, { of, seed: options.seed }, signal);
}

/** A session that has read what a generation had that was cut off; undefined where there is none, or none of this model. */
export async function resumedBy(
  model: SessionModel,
  keeper: Keeper | undefined,
  how: OpenOptions,
): Promise<Session | undefined> {
  if (!keeper?.state) return undefined;
  try {
    const session = await Session.restore(model, keeper.state, how);
    if (keeper.tokens.at(-1)?.position === session.length - 1) return session;
    session.dispose();
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
  }
  keeper.forget();
  return undefined;
}
