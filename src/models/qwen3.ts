import { boolean, integer, only, readConfig } from "../formats/config.ts";
import { GATED_PARTS, gatedDecoder, gatedKeys } from "./llama.ts";
import { MAX, type Program } from "./program.ts";
import { qwenKeys, qwenWindow } from "./qwen2.ts";

/** Qwen3: Qwen2 with norms of every query and key head in place of biases. see: HF Qwen3ForCausalLM, Qwen3Config */
export function qwen3(raw: Readonly<Record<string, unknown>>, name: string): Program {
  const config = readConfig(
    raw,
    name,
    {
      ...gatedKeys,
      ...qwenKeys(raw, name),
      head_dim: integer(MAX.headDim, 128),
      attention_bias: boolean(false),
      mlp_bias: only(false),
    },
    GATED_PARTS,
  );
  const biases = { qkvBias: config.attention_bias, outBias: config.attention_bias, mlpBias: false };
  return gatedDecoder("qwen3", name, config, { ...biases, queryKeyNorm: "head", window: qwenWindow(raw, config) });
}
