import { ModelError, mismatch } from "../base/errors.ts";
import { parseSafetensors, safetensorsHeader } from "./safetensors.ts";

/** Bytes by name as one safetensors file. */
export function writeParts(parts: Readonly<Record<string, Uint8Array>>): Uint8Array<ArrayBuffer> {
  const all = Object.entries(parts);
  const header = safetensorsHeader(all.map(([name, { length }]) => ({ name, dtype: "U8", shape: [length] })));
  const bytes = new Uint8Array(all.reduce((sum, [, { length }]) => sum + length, header.length));
  bytes.set(header);
  let at = header.length;
  for (const [, part] of all) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Copies of parts that writeParts wrote. Throws ModelError, which calls the file `name`, where one is not there. */
export function readParts<Part extends string>(
  bytes: Uint8Array,
  name: string,
  wanted: readonly Part[],
): Record<Part, Uint8Array<ArrayBuffer>> {
  const { tensors } = parseSafetensors(bytes, name);
  const parts = wanted.map((part) => {
    const tensor = tensors.get(part);
    if (tensor?.dtype !== "U8") throw new ModelError(mismatch(`${name}: ${part}`, "bytes", tensor?.dtype ?? "none"));
    // slice of a Node Buffer would be a view.
    return [part, new Uint8Array(bytes.subarray(tensor.begin, tensor.end))] as const;
  });
  return Object.fromEntries(parts) as Record<Part, Uint8Array<ArrayBuffer>>;
}
