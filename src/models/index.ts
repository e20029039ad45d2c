import { ModelError, mismatch, show } from "../base/errors.ts";
import { unpackedConfig } from "../formats/packed.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3, gemma3Text } from "./gemma3.ts";
import { gptj } from "./gptj.ts";
import { granite } from "./granite.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { mpt } from "./mpt.ts";
import { olmo2 } from "./olmo2.ts";
import type { Program } from "./program.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";

/** The architectures, by Hugging Face model_type; each has the file of its name. */
export const MODELS = {
  ...{ gemma2, gemma3, gemma3_text: gemma3Text, gptj, granite, llama, mistral, mpt, olmo2, qwen2, qwen3 },
} as const;

/** The program of the model that `config` (a parsed config.json, `name` in errors) describes. */
export function programOf(config: Readonly<Record<string, unknown>>, name: string): Program {
  const type = config.model_type;
  if (typeof type === "string" && Object.hasOwn(MODELS, type)) {
    return MODELS[type as keyof typeof MODELS](unpackedConfig(config), name);
  }
  const expected = `one of ${Object.keys(MODELS).join(", ")}`;
  throw new ModelError(mismatch(`${name}: model_type`, expected, type ?? `nothing${architectures(config)}`));
}

/** What architectures suggests where model_type is missing; transformers refuses such a config too. */
function architectures({ architectures: names }: Readonly<Record<string, unknown>>): string {
  const name = Array.isArray(names) ? names.find((item) => typeof item === "string") : undefined;
  const type = Object.keys(MODELS).find((key) => new RegExp(`^${key}(?=For|Model)`, "i").test(name ?? ""));
  return type ? ` (architectures has ${show(name)}: add "model_type": "${type}")` : "";
}
