import type { LoadOptions } from "lambent";
import { type Case, expect, refusal, type Setting, withModel } from "./case.ts";

/** Models and options that are refused while loading. */
const REFUSED: readonly [name: string, model: string, options: object][] = [
  ["no such directory", "nothing-here", {}],
  ["no weights", "broken-no-weights", {}],
  ["truncated weights", "broken-truncated", {}],
  ["a header that is none", "broken-header", {}],
  ["a config that is not JSON", "broken-config", {}],
  ["an unknown model_type", "broken-model-type", {}],
  ["a tensor of another shape", "broken-shape", {}],
  ["a weight that is NaN", "broken-nan", {}],
  ["threads 0", "llama-gqa-tied", { threads: 0 }],
  ["dtype q3", "llama-gqa-tied", { dtype: "q3" }],
  ["cacheDtype q4", "llama-gqa-tied", { cacheDtype: "q4" }],
  ["an unknown policy", "llama-gqa-tied", { attention: "none" }],
  ["a limit below nLocal", "llama-gqa-tied", { nLocal: 16, limit: 15 }],
  ["no sessions", "llama-gqa-tied", { maxSessions: 0 }],
  ["an unknown build", "llama-gqa-tied", { simd: "fast" }],
];

/** The same mistakes, refused in the same line everywhere. */
export function errors(setting: Setting): Case[] {
  return [
    ...REFUSED.map(([name, model, options]) => ({
      name: `error: ${name}`,
      run: () => refusal(setting, () => withModel(setting, model, options as LoadOptions, async () => {})),
    })),
    {
      name: "error: a text for a model without a tokenizer",
      run: () =>
        refusal(setting, () =>
          withModel(setting, "broken-no-tokenizer", {}, async (model) => {
            await model.generate([1], { maxNewTokens: 1 }).text();
            await model.generate("a").text();
          }),
        ),
    },
    {
      name: "error: in a session, which goes on after it",
      run: () =>
        withModel(setting, "llama-gqa-tied", { maxSessions: 2 }, async (model) => {
          const session = await model.session({ seed: 1 });
          const wrong = (action: () => unknown) => refusal(setting, action);
          const messages = [
            await wrong(() => session.next()),
            await wrong(() => session.append([61])),
            await wrong(() => session.append([-1])),
            await wrong(() => session.generate([1], { temperature: -1 }).text()),
            await wrong(() => session.generate([1], { topP: 2 }).text()),
            await wrong(() => session.generate([1], { maxNewTokens: 1.5 }).text()),
            await wrong(() => session.generate([1], { seed: -1 }).text()),
            await wrong(() => model.session({ startPosition: -1 })),
          ];
          await model.session();
          messages.push(await wrong(() => model.session()));
          await session.append([1, 5, 6]);
          expect("tokens read", 3, session.length);
          session.dispose();
          messages.push(await wrong(() => session.append([1])));
          return messages;
        }),
    },
    {
      name: "error: a model that was disposed of",
      run: () =>
        refusal(setting, async () => {
          const model = await withModel(setting, "llama-gqa-tied", {}, async (loaded) => loaded);
          await model.generate([1, 5], { maxNewTokens: 2 }).text();
        }),
    },
  ];
}
