/** A model that says what it is told to, so that clients meet calls of tools: its tokens are those of its tokenizer. */
import type { Message, Model } from "../../src/entry/index.ts";

/** What was asked of it. */
export interface Asked {
  readonly messages: readonly Message[];
  readonly tools: readonly object[] | undefined;
}

/** `model`, but each chat is answered by the next of these texts. */
export function scripted(model: Model, answers: string[], asked: Asked[]): Model {
  const respond = (messages: readonly Message[], options: { tools?: readonly object[] } = {}) => {
    asked.push({ messages, tools: options.tools });
    const text = answers.shift();
    if (text === undefined) throw new Error("no answer is left");
    const ids = model.tokenizer.encode(text, { addSpecialTokens: false });
    async function* tokens() {
      let shown = 0;
      for (const [i, id] of ids.entries()) {
        const whole = model.tokenizer.decode(ids.slice(0, i + 1), { skipSpecialTokens: true });
        yield { id, text: whole.slice(shown), logprob: -1, position: i };
        shown = whole.length;
      }
    }
    const usage = { promptTokens: 10, cachedTokens: 4, completionTokens: ids.length };
    const times = { prefillSeconds: 0, decodeSeconds: 0 };
    const window = { position: ids.length, window: 512, pinned: 0, unseen: 0 };
    const facts = { finishReason: "stop", usage, window, seed: 0, logitsHash: "" };
    return { tokens, result: Promise.resolve({ ...facts, ...times }) };
  };
  return new Proxy(model, {
    get: (target, name) => (name === "respond" ? respond : Reflect.get(target, name, target)),
  });
}
