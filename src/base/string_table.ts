/** Texts as UTF-8, one behind the other: 10^5 of them need much less memory than as strings. */
export interface StringTable {
  readonly count: number;
  readonly bytes: Uint8Array;
  /** [count + 1] into `bytes`: text i is bytes[offsets[i], offsets[i + 1]). */
  readonly offsets: Uint32Array;
}

const encoder = new TextEncoder();
// ignoreBOM: U+FEFF is an ordinary character here.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A table of the given texts; a lone surrogate becomes U+FFFD. */
export function stringTable(texts: readonly string[]): StringTable {
  const offsets = new Uint32Array(texts.length + 1);
  let bytes = new Uint8Array(16 * texts.length + 64);
  let end = 0;
  for (const [i, text] of texts.entries()) {
    // A UTF-16 unit has at most 3 bytes.
    const most = end + 3 * text.length;
    if (most > bytes.length) {
      const grown = new Uint8Array(2 * most);
      grown.set(bytes);
      bytes = grown;
    }
    end += encoder.encodeInto(text, bytes.subarray(end)).written;
    offsets[i + 1] = end;
  }
  return { count: texts.length, bytes: bytes.slice(0, end), offsets };
}

/** The text at an index in 0..count - 1; bytes that are not valid UTF-8 give U+FFFD. */
export function textAt({ bytes, offsets }: StringTable, index: number): string {
  const start = offsets[index] as number;
  const end = offsets[index + 1] as number;
  let text = "";
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte > 127) return decoder.decode(bytes.subarray(start, end));
    text += String.fromCharCode(byte);
  }
  return text;
}
