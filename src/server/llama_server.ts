import * as z from "zod/mini";
import { readBody } from "./body.ts";
import { refused } from "./errors.ts";
import { messages, messagesOf } from "./messages.ts";
import { maybe, text, tokenId } from "./schemas.ts";
import { coreOf, type Service } from "./service.ts";
import { toolChoice, tools as toolList, toolsOf } from "./tools.ts";

/** The body of /tokenize. */
export const tokenizeBody = z.looseObject({
  model: maybe(text()),
  content: text(),
  add_special: maybe(z.boolean("true or false")),
  with_pieces: maybe(z.boolean("true or false")),
});

/** The body of /detokenize. */
export const detokenizeBody = z.looseObject({ model: maybe(text()), tokens: z.array(tokenId, "a list of token ids") });

/** The body of /apply-template. */
export const templateBody = z.looseObject({
  model: maybe(text()),
  messages,
  tools: maybe(toolList),
  tool_choice: maybe(toolChoice),
  chat_template_kwargs: maybe(z.record(z.string(), z.unknown(), "variables of the chat template")),
});

/** GET /props. see: llama-server's README, as for all here */
export function props(service: Service): Response {
  const { name, model, admission, template } = coreOf(service, undefined);
  const { nLocal, trainedLength, attention, nGlobal } = model.info;
  const { tokenizer } = model;
  return Response.json({
    default_generation_settings: { n_ctx: Number.isFinite(nLocal) ? nLocal : trainedLength, params: {} },
    total_slots: admission.seats,
    model_alias: name,
    chat_template: template,
    ...{ bos_token: tokenizer.bosToken ?? "", eos_token: tokenizer.eosToken ?? "" },
    ...{ modalities: { vision: false, audio: false }, attention, n_global: nGlobal },
  });
}

/** GET /slots */
export function slots({ cores }: Service): Response {
  const all = [...new Set(cores.values())].flatMap(({ name, model, admission }) => {
    const { nLocal } = model.info;
    return Array.from({ length: admission.seats }, (_, i) => {
      return { model: name, n_ctx: Number.isFinite(nLocal) ? nLocal : null, is_processing: i < admission.active };
    });
  });
  return Response.json(all.map((slot, id) => ({ id, ...slot })));
}

/** POST /tokenize */
export async function tokenize(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, tokenizeBody, service.limits);
  const { tokenizer } = coreOf(service, body.model).model;
  const ids = tokenizer.encode(body.content, { addSpecialTokens: body.add_special ?? false });
  if (!body.with_pieces) return Response.json({ tokens: ids });
  return Response.json({
    tokens: ids.map((id) => ({ id, piece: pieceOf(tokenizer.tokenBytes(id, { skipSpecialTokens: false })) })),
  });
}

/** A token's text, or its bytes where they are no text. */
function pieceOf(bytes: Uint8Array = new Uint8Array()): string | number[] {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return [...bytes];
  }
}

/** POST /detokenize */
export async function detokenize(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, detokenizeBody, service.limits);
  const { tokenizer, info } = coreOf(service, body.model).model;
  const bad = body.tokens.findIndex((id) => id >= info.vocabSize);
  if (bad >= 0) throw refused(`tokens[${bad}]`, `an id from 0 to ${info.vocabSize - 1}`, body.tokens[bad]);
  return Response.json({ content: tokenizer.decode(body.tokens, { skipSpecialTokens: false }) });
}

/** POST /apply-template */
export async function applyTemplate(request: Request, service: Service): Promise<Response> {
  const body = await readBody(request, templateBody, service.limits);
  const { tools } = toolsOf(body.tools, body.tool_choice);
  const variables = body.chat_template_kwargs ? { templateVariables: body.chat_template_kwargs } : {};
  const options = { ...(tools ? { tools } : {}), ...variables };
  return Response.json({ prompt: await coreOf(service, body.model).render(messagesOf(body.messages), options) });
}
