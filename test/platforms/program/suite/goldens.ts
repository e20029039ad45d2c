import { type Case, expectClose, hash, logitsAfterEach, type Setting, withModel } from "./case.ts";

/** Logits beside transformers' own, and under Λ beside the reference in f64; their bits beside every other place's. */
export function goldens(setting: Setting): Case[] {
  const theme = { golden: setting.goldens, dense: setting.dense } as const;
  return Object.entries(theme).flatMap(([kind, list]) =>
    list.map(({ model, ids, logits, options }, i) => ({
      name: `${kind}: ${model}${kind === "dense" ? ` ${i}` : ""}`,
      run: () =>
        withModel(setting, model, options, async (loaded) => {
          const found = await logitsAfterEach(loaded, ids);
          expectClose(model, logits, found);
          return hash(found);
        }),
    })),
  );
}
