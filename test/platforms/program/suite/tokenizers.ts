import { type Case, expect, type Setting, withModel } from "./case.ts";

/** Text to ids and back, beside Hugging Face's. */
export function tokenizers(setting: Setting): Case[] {
  return setting.tokenizers.map(({ name, model, rows }) => ({
    name: `tokenizer: ${name}`,
    run: () =>
      withModel(setting, model, {}, async ({ tokenizer }) => {
        for (const { text, ids, decoded } of rows) {
          expect(`ids of ${JSON.stringify(text)}`, ids, tokenizer.encode(text));
          expect(`text of ${ids}`, decoded, tokenizer.decode(ids));
          expect(`number of ids of ${JSON.stringify(text)}`, ids.length, tokenizer.count(text));
        }
        return rows.length;
      }),
  }));
}
