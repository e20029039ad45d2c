import * as z from "zod/mini";

/** A field that may be missing or null, which are the same. */
export const maybe = <T extends z.ZodMiniType>(schema: T) => z.nullish(schema);

/** A number in a range. */
export const real = (least: number, most: number) => {
  const expected = `a number from ${least} to ${most}`;
  return z.number(expected).check(z.gte(least, expected), z.lte(most, expected));
};

/** A whole number in a range. */
export const whole = (least: number, most = Number.MAX_SAFE_INTEGER) => {
  const range = most === Number.MAX_SAFE_INTEGER ? `${least} on` : `${least} to ${most}`;
  const expected = `a whole number from ${range}`;
  return z.int(expected).check(z.gte(least, expected), z.lte(most, expected));
};

/** Any text. */
export const text = () => z.string("a string");

// What /openapi.json says the most of:

/** The most characters of a stop string: none of them is then too long for the library, which counts bytes. */
export const MOST_STOP = 64;
/** A stop string. */
export const stopString = text().check(
  z.refine((stop) => [...stop].length <= MOST_STOP, `at most ${MOST_STOP} characters`),
);

/** One of a model's token ids. */
export const tokenId = whole(0);
/** The same as the name of a field. */
export const tokenKey = z.string().check(z.regex(/^(0|[1-9]\d{0,8})$/, "token ids"));
/** How many numbers an embedding has. */
export const dimensions = whole(1);

/** One stop string or a list of them. */
export const stops = z.union(
  [stopString, z.array(stopString).check(z.maxLength(64, "at most 64 strings"))],
  "a string or a list of strings",
);

/** Token ids. */
export const ids = z.array(tokenId).check(z.minLength(1, "at least one token id"));

/** Tells /openapi.json which fields of a body do not go together, as JSON Schema; the route refuses them. */
export function without<T extends z.ZodMiniType>(schema: T, not: object): T {
  z.globalRegistry.add(schema, { not });
  return schema;
}

/** Which tokens are chosen: fields that OpenAI's routes share, and those that llama-server and vLLM add. */
export const sampling = {
  model: maybe(text()),
  temperature: maybe(real(0, 100)),
  top_p: maybe(real(0, 1)),
  top_k: maybe(whole(0)),
  min_p: maybe(real(0, 1)),
  repetition_penalty: maybe(z.number("a number above 0").check(z.gt(0, "a number above 0"))),
  seed: maybe(z.int("a whole number")),
  stop: maybe(stops),
  logit_bias: maybe(z.record(tokenKey, real(-100, 100), "biases by token id")),
  ignore_eos: maybe(z.boolean("true or false")),
  stream: maybe(z.boolean("true or false")),
  stream_options: maybe(z.looseObject({ include_usage: maybe(z.boolean("true or false")) })),
  n: maybe(z.literal(1, "1, as one answer is given")),
  presence_penalty: maybe(z.literal(0, "0 (use repetition_penalty)")),
  frequency_penalty: maybe(z.literal(0, "0 (use repetition_penalty)")),
};

/** The fields of `sampling`, parsed. */
export type SamplingBody = z.output<ReturnType<typeof samplingObject>>;
const samplingObject = () => z.looseObject(sampling);

/** The library's options of those fields. */
export function samplingOptions(body: SamplingBody) {
  const { temperature, top_p, top_k, min_p, seed } = body;
  return {
    temperature: temperature ?? undefined,
    topP: top_p === 0 ? Number.MIN_VALUE : (top_p ?? undefined),
    topK: top_k ?? undefined,
    minP: min_p ?? undefined,
    repetitionPenalty: body.repetition_penalty ?? undefined,
    // Negative ones are other programs' word for any.
    seed: seed === null || seed === undefined || seed < 0 ? undefined : seed,
    stopStrings: stopsOf(body.stop),
    logitBias: body.logit_bias ?? undefined,
    ignoreEos: body.ignore_eos ?? undefined,
  };
}

/** Stop strings; empty ones say nothing. */
export function stopsOf(stop: string | readonly string[] | null | undefined): string[] | undefined {
  const all = [stop ?? []].flat().filter((text) => text !== "");
  return all.length > 0 ? all : undefined;
}
