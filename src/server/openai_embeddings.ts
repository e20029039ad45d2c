import * as z from "zod/mini";
import { readBody } from "./body.ts";
import { dimensions, ids, maybe, text } from "./schemas.ts";
import { coreOf, type Service } from "./service.ts";

/** The most texts of one request, as in OpenAI's API. */
const MOST_TEXTS = 2048;

/** The body of /v1/embeddings. */
export const embeddingsBody = z.looseObject({
  model: maybe(text()),
  input: z.union(
    [text(), ids, z.array(z.union([text(), ids])).check(z.minLength(1), z.maxLength(MOST_TEXTS))],
    `a string, token ids, or a list of 1 to ${MOST_TEXTS} of them`,
  ),
  encoding_format: maybe(z.enum(["float", "base64"], "float or base64")),
  dimensions: maybe(dimensions),
});

/** POST /v1/embeddings. see: OpenAI's API reference */
export async function embeddings(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, embeddingsBody, service.limits);
  const core = coreOf(service, body.model);
  const inputs = (typeof body.input === "string" || typeof body.input[0] === "number" ? [body.input] : body.input) as (
    | string
    | number[]
  )[];
  const { vectors, tokens } = await core.embed(inputs, body.dimensions, request.signal);
  const base64 = body.encoding_format === "base64";
  const data = vectors.map((vector, index) => {
    return { object: "embedding", index, embedding: base64 ? base64Of(vector) : [...vector] };
  });
  return Response.json({
    object: "list",
    data,
    model: core.name,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  });
}

/** The numbers as f32, little-endian. */
function base64Of(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(4 * vector.length));
  for (const [i, value] of vector.entries()) view.setFloat32(4 * i, value, true);
  let bytes = "";
  for (const byte of new Uint8Array(view.buffer)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
}
