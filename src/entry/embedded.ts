/**
 * The model that comes with the package, lambent-llama-5m, by addresses that bundlers see (entry `lambent/embedded`).
 *
 * @example
 * const model = await load(embedded);
 */

import { LambentError } from "../base/errors.ts";
import type { Files } from "../base/source.ts";
import { currentRuntime } from "../runtime/index.ts";

const ADDRESSES: Record<string, () => URL> = {
  "config.json": () => new URL("../../models/lambent-llama-5m/config.json", import.meta.url),
  "generation_config.json": () => new URL("../../models/lambent-llama-5m/generation_config.json", import.meta.url),
  "model.safetensors": () => new URL("../../models/lambent-llama-5m/model.safetensors", import.meta.url),
  "tokenizer.json": () => new URL("../../models/lambent-llama-5m/tokenizer.json", import.meta.url),
  "tokenizer_config.json": () => new URL("../../models/lambent-llama-5m/tokenizer_config.json", import.meta.url),
};

/** The files of the embedded model. */
export const embedded: Files = {
  name: "lambent-llama-5m",
  async open(file) {
    const address = Object.hasOwn(ADDRESSES, file) ? ADDRESSES[file] : undefined;
    return address && (await currentRuntime()).open(known(address));
  },
};

function known(address: () => URL): URL {
  try {
    return address();
  } catch {
    // A CommonJS bundle has no import.meta.url.
    throw new LambentError(
      "lambent/embedded: expected its files beside the code, found a bundle: name their folder instead",
    );
  }
}
