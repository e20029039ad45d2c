import { QUANTIZED, type QuantizedDType } from "../base/dtype.ts";
import { ModelError, mismatch } from "../base/errors.ts";
import { isRecord } from "./json.ts";

/**
 * The quantization_config that `lambent quantize` writes into config.json: the method, the format of the matrices, and
 * the version of their layout in memory, which is also the layout of the file.
 */
const METHOD = "lambent";
const VERSION = 1;

/** The quantization_config of a packed checkpoint of this format. */
export function packingConfig(dtype: QuantizedDType): Record<string, unknown> {
  return { quant_method: METHOD, dtype, version: VERSION };
}

/** The format of a packed checkpoint's matrices; undefined if it is not a packed one. Throws ModelError. */
export function packedDtype(config: Readonly<Record<string, unknown>>, name: string): QuantizedDType | undefined {
  const found = config.quantization_config;
  if (!isRecord(found) || found.quant_method !== METHOD) return undefined;
  if (found.version !== VERSION) {
    throw new ModelError(mismatch(`${name}: quantization_config.version`, `${VERSION}`, found.version ?? "nothing"));
  }
  if (!QUANTIZED.includes(found.dtype as QuantizedDType)) {
    const expected = `one of ${QUANTIZED.join(", ")}`;
    throw new ModelError(mismatch(`${name}: quantization_config.dtype`, expected, found.dtype ?? "nothing"));
  }
  return found.dtype as QuantizedDType;
}

/** The config of the model itself, without quantization_config. */
export function unpackedConfig(config: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { quantization_config: found, ...rest } = config;
  return isRecord(found) && found.quant_method === METHOD ? rest : config;
}
