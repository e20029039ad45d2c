import { closeSync, openSync, readSync } from "node:fs";
import { type StringTable, stringTable } from "../../src/base/string_table.ts";

const ARRAYS = [Uint8Array, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array, Float32Array, Uint8Array];
const SIZES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** The metadata of a whole GGUF file, for tests: a literal reading of its specification, without checks. */
export function ggufMetadata(path: string, most = 40_000_000): Map<string, unknown> {
  const bytes = new Uint8Array(most);
  const file = openSync(path, "r");
  readSync(file, bytes, 0, most, 0);
  closeSync(file);
  const view = new DataView(bytes.buffer);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let at = 24;
  const count = Number(view.getBigUint64(16, true));
  const size = () => {
    at += 8;
    return Number(view.getBigUint64(at - 8, true));
  };
  const text = () => {
    const length = size();
    at += length;
    return decoder.decode(bytes.subarray(at - length, at));
  };
  const u32 = () => {
    at += 4;
    return view.getUint32(at - 4, true);
  };
  const strings = (count: number): StringTable => {
    const offsets = new Uint32Array(count + 1);
    const from = at;
    for (let i = 0; i < count; i++) {
      const length = size();
      at += length;
      offsets[i + 1] = (offsets[i] as number) + length;
    }
    const all = new Uint8Array(offsets[count] as number);
    at = from;
    for (let i = 0; i < count; i++) {
      const length = size();
      all.set(bytes.subarray(at, at + length), offsets[i]);
      at += length;
    }
    return { count, bytes: all, offsets };
  };
  const value = (type: number): unknown => {
    if (type === 8) return text();
    if (type === 9) {
      const of = u32();
      const count = size();
      if (of === 8) return strings(count);
      const length = count * (SIZES[of] as number);
      at += length;
      const Many = ARRAYS[of] as typeof Float32Array;
      return new Many(bytes.slice(at - length, at).buffer);
    }
    const from = at;
    at += SIZES[type] as number;
    if (type === 7) return bytes[from] !== 0;
    return [
      () => view.getUint8(from),
      () => view.getInt8(from),
      () => view.getUint16(from, true),
      () => view.getInt16(from, true),
      () => view.getUint32(from, true),
      () => view.getInt32(from, true),
      () => view.getFloat32(from, true),
    ][type]?.();
  };
  const metadata = new Map<string, unknown>();
  for (let i = 0; i < count; i++) {
    const key = text();
    metadata.set(key, value(u32()));
  }
  return metadata;
}

/** Metadata of a small tokenizer, with arrays as a reader of GGUF gives them. */
export function metadataOf(values: Record<string, unknown>): Map<string, unknown> {
  const entries = Object.entries(values).map(([key, value]): [string, unknown] => {
    const isTable = Array.isArray(value) && value.every((one) => typeof one === "string");
    return [`tokenizer.${key}`, isTable ? stringTable(value as string[]) : value];
  });
  return new Map(entries);
}
