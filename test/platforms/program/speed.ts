/** One round of the speed table. Some places have no clock, so the receiver of the reports takes the times. */
import { load } from "lambent";
import type { Host } from "./job.ts";

export interface SpeedOptions {
  readonly model: string;
  /** Options of load. */
  readonly load: object;
  readonly prompt: string;
  readonly newTokens: number;
  readonly rounds: number;
}

const SAMPLING = { temperature: 0.8, seed: 1, ignoreEos: true } as const;

/** What is reported when it has happened; a stretch of work lies between two of them. */
export type Mark = "first token" | "begin" | "prompt read" | "text written";

/** Marks the first token, then each round's prompt and text. Returns how many tokens these are. */
export async function speed({ model: name, load: options, prompt, newTokens, rounds }: SpeedOptions, host: Host) {
  const mark = (what: Mark) => host.report(what);
  const model = await load(`${host.base}models/${name}`, options);
  await model.generate("Once", { ...SAMPLING, maxNewTokens: 1 }).text();
  await mark("first token");
  const promptTokens = model.tokenizer.count(prompt);
  for (let round = 0; round < rounds; round++) {
    const session = await model.session({ seed: 1 });
    await mark("begin");
    await session.append(prompt);
    await mark("prompt read");
    await session.generate(undefined, { ...SAMPLING, maxNewTokens: newTokens }).text();
    await mark("text written");
    session.dispose();
  }
  model.dispose();
  return { promptTokens, newTokens };
}
