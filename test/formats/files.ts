/** Files for tests: in memory with an account of what is open, and over a local directory. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { ModelError, mismatch } from "../../src/base/errors.ts";
import type { ByteSource, Files } from "../../src/base/source.ts";
import { memorySource } from "../../src/formats/safetensors.ts";

/** Bits per value of the format's dtypes, as the reference reader (0.8) knows them. */
export const BITS: Readonly<Record<string, number>> = {
  ...{ BOOL: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8 },
  ...{ F8_E5M2FNUZ: 8, I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32, C64: 64, F64: 64, I64: 64 },
  U64: 64,
};

/** A safetensors file with this header, as text or as a value that becomes JSON, and this many bytes of data. */
export function safetensors(header: unknown, dataBytes = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  for (let i = 8 + json.length; i < bytes.length; i++) bytes[i] = i * 37;
  return bytes;
}

/** Files in memory; `current` counts what is open at the moment. */
export class MemoryFiles implements Files {
  readonly name = "dir";
  current = 0;
  readonly #contents: Readonly<Record<string, Uint8Array | string | object>>;

  constructor(contents: Readonly<Record<string, Uint8Array | string | object>>) {
    this.#contents = contents;
  }

  async open(file: string): Promise<ByteSource | undefined> {
    const content = this.#contents[file];
    if (content === undefined) return undefined;
    const text = typeof content === "string" ? content : JSON.stringify(content);
    const bytes = content instanceof Uint8Array ? content : new TextEncoder().encode(text);
    this.current++;
    let open = true;
    return {
      ...memorySource(bytes, `dir/${file}`),
      close: async () => {
        if (open) this.current--;
        open = false;
      },
    };
  }
}

/** A local directory. */
export function directoryFiles(directory: string): Files {
  return {
    name: directory,
    async open(file) {
      const path = join(directory, file);
      if (!existsSync(path)) return undefined;
      const handle = openSync(path, "r");
      return {
        name: path,
        size: fstatSync(handle).size,
        async readInto(target, offset) {
          const read = readSync(handle, target, 0, target.length, offset);
          if (read < target.length) throw new ModelError(mismatch(path, `${target.length} bytes at ${offset}`, read));
        },
        async close() {
          closeSync(handle);
        },
      };
    },
  };
}

/** The message of the ModelError that `action` ends in, checked to be one line; another end is thrown as a failure. */
export async function modelError(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    if (/[\n\r\u2028\u2029]/.test(error.message)) throw new Error(`more than one line: ${error.message}`);
    return error.message;
  }
  throw new Error("no error");
}

/** How often to repeat what is random: FUZZ_RUNS multiplies it. */
export const RUNS = Number(process.env.FUZZ_RUNS ?? 1);
