import { ModelError, mismatch, show } from "../base/errors.ts";
import { unpackedConfig } from "../formats/packed.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3, gemma3Text } from "./gemma3.ts";
import { gptNeox } from "./gpt_neox.ts";
import { gptj } from "./gptj.ts";
import { granite } from "./granite.ts";
import { llama } from "./llama.ts";
import { ministral3 } from "./ministral3.ts";
import { mistral } from "./mistral.ts";
import { mistral3 } from "./mistral3.ts";
import { mpt } from "./mpt.ts";
import { olmo2 } from "./olmo2.ts";
import { olmo3 } from "./olmo3.ts";
import { phi3 } from "./phi3.ts";
import type { Program } from "./program.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { smollm3 } from "./smollm3.ts";
import { stablelm } from "./stablelm.ts";

/** The architectures, by Hugging Face model_type; each has the file of its name. */
export const MODELS = {
  ...{
    gemma2,
    gemma3,
    gemma3_text: gemma3Text,
    gpt_neox: gptNeox,
    gptj,
    granite,
    llama,
    ministral3,
    mistral,
    mistral3,
  },
  ...{ mpt, olmo2, olmo3, phi3, qwen2, qwen3, smollm3, stablelm },
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
