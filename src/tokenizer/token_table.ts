import type { StringTable } from "../base/string_table.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * The bytes that each token adds to a text, by id, with the separator before it; none for special tokens and ids without
 * a token.
 */
export function tokenTable(tokenizer: Tokenizer): StringTable {
  const count = tokenizer.vocabSize;
  const separator = new TextEncoder().encode(tokenizer.decoder.separator);
  const offsets = new Uint32Array(count + 1);
  let bytes = new Uint8Array(8 * count + 64);
  let end = 0;
  for (let id = 0; id < count; id++) {
    const token = tokenizer.tokenBytes(id);
    if (token && token.length > 0) {
      const next = end + separator.length + token.length;
      if (next > bytes.length) {
        const grown = new Uint8Array(2 * next);
        grown.set(bytes);
        bytes = grown;
      }
      bytes.set(separator, end);
      bytes.set(token, end + separator.length);
      end = next;
    }
    offsets[id + 1] = end;
  }
  return { count, bytes: bytes.slice(0, end), offsets };
}
