import * as z from "zod/mini";
import { formatOf } from "./formats.ts";
import { dimensions, maybe, real, stops, stopsOf, text } from "./schemas.ts";
import { tools } from "./tools.ts";

/** How tokens are chosen, in Ollama's names. What only concerns its own loading of models has no effect. */
const choosing = z.looseObject({
  temperature: maybe(real(0, 100)),
  top_k: maybe(z.int("a whole number")),
  top_p: maybe(real(0, 1)),
  min_p: maybe(real(0, 1)),
  seed: maybe(z.int("a whole number")),
  num_predict: maybe(z.int("a whole number")),
  stop: maybe(stops),
  repeat_penalty: maybe(z.number("a number above 0").check(z.gt(0, "a number above 0"))),
  presence_penalty: maybe(z.literal(0, "0 (use repeat_penalty)")),
  frequency_penalty: maybe(z.literal(0, "0 (use repeat_penalty)")),
});

/** Images, which there can be none of. */
const images = maybe(z.array(z.unknown()).check(z.maxLength(0, "none, as the model reads only text")));

/** What /api/chat and /api/generate share. */
const shared = {
  model: text(),
  stream: maybe(z.boolean("true or false")),
  options: maybe(choosing),
  format: maybe(z.union([z.enum(["", "json"]), z.looseObject({})], "json or a schema")),
};

/** The body of /api/chat. */
export const ollamaChat = z.looseObject({
  ...shared,
  messages: z.array(
    z.looseObject({
      role: z.enum(["system", "user", "assistant", "tool"], "system, user, assistant or tool"),
      content: maybe(text()),
      images,
      tool_calls: maybe(
        z.array(z.looseObject({ function: z.looseObject({ name: text(), arguments: maybe(z.looseObject({})) }) })),
      ),
      tool_name: maybe(text()),
    }),
    "a list of messages",
  ),
  tools: maybe(tools),
});

/** The body of /api/generate. */
export const ollamaGenerate = z.looseObject({
  ...shared,
  prompt: maybe(text()),
  system: maybe(text()),
  suffix: maybe(z.literal("", "none, as text is only continued")),
  raw: maybe(z.boolean("true or false")),
  images,
});

/** The body of /api/embed. */
export const ollamaEmbed = z.looseObject({
  model: text(),
  input: z.union([text(), z.array(text(), "a list of strings")], "a string or a list of strings"),
  dimensions: maybe(dimensions),
});

/** The body of /api/show. */
export const ollamaShow = z.looseObject({ model: maybe(text()), name: maybe(text()) });

/** The library's options of Ollama's. */
export function ollamaOptions(
  { options, format }: { options?: z.output<typeof choosing> | null | undefined; format?: unknown },
  maxNewTokens: number,
) {
  const given = options ?? {};
  const type = !format ? undefined : format === "json" ? "json_object" : "json_schema";
  const { temperature, top_k, top_p, min_p, seed, num_predict, repeat_penalty } = given;
  const most = num_predict ?? maxNewTokens;
  return {
    responseFormat: formatOf(type, format),
    temperature: temperature ?? undefined,
    topK: top_k === null || top_k === undefined ? undefined : Math.max(0, top_k),
    topP: top_p === 0 ? Number.MIN_VALUE : (top_p ?? undefined),
    minP: min_p ?? undefined,
    repetitionPenalty: repeat_penalty ?? undefined,
    seed: typeof seed === "number" && seed >= 0 ? seed : undefined,
    stopStrings: stopsOf(given.stop),
    // −1 is without end, −2 until the context is full, which it never is.
    maxNewTokens: most < 0 ? -1 : most,
  };
}
