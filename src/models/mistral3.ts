import { oneOf } from "../formats/config.ts";
import { ministral3 } from "./ministral3.ts";
import { mistral } from "./mistral.ts";
import type { Program } from "./program.ts";
import { textProgram } from "./text_config.ts";

const TEXT_MODELS = { mistral, ministral3 } as const;

/** Mistral Small 3.1, Ministral 3: the text part of a model that also sees. see: HF Mistral3ForConditionalGeneration */
export function mistral3(raw: Readonly<Record<string, unknown>>, name: string): Program {
  return textProgram("mistral3", raw, name, (text, textName) => {
    const type = oneOf("mistral", "ministral3")(text.model_type ?? undefined, `${textName}: model_type`);
    return TEXT_MODELS[type](text, textName);
  });
}
