import type { QuantizedDType } from "../base/dtype.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { packingConfig, unpackedConfig } from "../formats/packed.ts";
import { safetensorsHeader } from "../formats/safetensors.ts";
import type { Bank } from "../machine/bank.ts";
import type { Kernels } from "../machine/kernels.ts";
import { planCheckpoint } from "./plan_checkpoint.ts";
import { loadMachine, type ReadingOptions } from "./read_weights.ts";
import { type PlacedWeight, packedType, panelsOf } from "./weights.ts";

/** A file of a checkpoint, in chunks of at most PART bytes. */
export interface PackedFile {
  readonly name: string;
  readonly bytes: number;
  parts(): Iterable<Uint8Array>;
}

const PART = 4 * 2 ** 20;
/** The rest of a checkpoint, beside its weights and config. */
const OTHERS = [
  "generation_config.json",
  "recall.json",
  ...["tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json"],
  ...["special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json"],
];

/**
 * A checkpoint with its matrices quantised and stored in their in-memory form, so that loading only reads: the files of
 * an ordinary safetensors directory, whose config.json says so under quantization_config. Another format can be made
 * only from the original.
 */
export async function quantize(
  checkpoint: Checkpoint,
  kernels: Kernels,
  dtype: QuantizedDType,
  options: ReadingOptions = {},
): Promise<PackedFile[]> {
  // No session will ever be opened: the smallest one.
  const smallest = { attention: "window", nLocal: 1, chunkSize: 1, maxSessions: 1 } as const;
  const { plan } = await planCheckpoint(checkpoint, () => kernels, { dtype, ...smallest });
  const { machine } = await loadMachine(plan, checkpoint.config, kernels, options);
  const header = safetensorsHeader(plan.weights.map(tensorOf));
  const weights: PackedFile = {
    name: "model.safetensors",
    bytes: plan.weights.reduce((sum, { bytes }) => sum + bytes, header.length),
    *parts() {
      yield header;
      for (const { bank, address, bytes } of plan.weights) {
        for (let done = 0; done < bytes; done += PART) {
          const length = Math.min(PART, bytes - done);
          yield new Uint8Array((machine.banks[bank] as Bank).bytes(address + done, length));
        }
      }
    },
  };
  const config = { ...unpackedConfig(checkpoint.config), quantization_config: packingConfig(dtype) };
  const files = [weights];
  for (const name of OTHERS) {
    const bytes = await checkpoint.bytes(name);
    if (bytes) files.push(wholeFile(name, bytes));
  }
  // Last: without it, nothing takes the directory for a model.
  files.push(wholeFile("config.json", new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`)));
  return files;
}

function tensorOf({ weight, dtype }: PlacedWeight) {
  const [n, k] = weight.shape;
  return { name: weight.name, dtype: packedType(dtype), shape: k === undefined ? [n] : panelsOf(n, k, dtype) };
}

function wholeFile(name: string, bytes: Uint8Array): PackedFile {
  return { name, bytes: bytes.length, parts: () => [bytes] };
}
