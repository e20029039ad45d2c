import { isOf } from "../base/realm.ts";
import type { Field } from "./field.ts";
import { writeUtf8 } from "./vocabulary.ts";

/** Longer grapheme clusters are replaced character by character. */
const LONGEST_CLUSTER = 5;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The normalizer Precompiled: SentencePiece's table of replacements, in base64 or as bytes. What replaces a grapheme cluster
 * is that of the shortest text in the table that it starts with, as in Hugging Face. see: spm_precompiled, lib.rs
 */
export function compilePrecompiled(field: Field): (text: string) => string {
  const table = new Replacements(field.get("precompiled_charsmap"));
  const clusters = new Intl.Segmenter("und", { granularity: "grapheme" });
  const ascii = Array.from({ length: 128 }, (_, code) => table.find(String.fromCharCode(code)));
  const isPlain = ascii.every((found) => found === undefined);
  return (text) => {
    // Of ASCII only "\r\n" is a cluster of several characters.
    if (/^\p{ASCII}*$/u.test(text) && !text.includes("\r")) {
      return isPlain ? text : text.replace(/./gs, (char) => ascii[char.charCodeAt(0)] ?? char);
    }
    let normalized = "";
    for (const { segment } of clusters.segment(text)) {
      const whole = utf8Length(segment) <= LONGEST_CLUSTER ? table.find(segment) : undefined;
      if (whole !== undefined) normalized += whole;
      else for (const char of segment) normalized += table.find(char) ?? char;
    }
    return normalized;
  };
}

const scratch = new Uint8Array(4);

function utf8Length(text: string): number {
  let length = 0;
  for (const char of text) length += writeUtf8(char.codePointAt(0) as number, scratch, 0);
  return length;
}

/** A trie in Darts' double array over UTF-8, whose values are where replacements start in `texts`. */
class Replacements {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;
  readonly #key = new Uint8Array(64);

  constructor(field: Field) {
    const bytes = isOf("Uint8Array", field.value) ? (field.value as Uint8Array) : fromBase64(field);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const size = bytes.length >= 4 ? view.getUint32(0, true) : -1;
    if (size < 0 || size % 4 !== 0 || 4 + size > bytes.length) field.fail("a table of replacements");
    this.#units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.#texts = bytes.subarray(4 + size);
  }

  /** What the shortest start of `text` in the table is replaced by; undefined if none is in it. */
  find(text: string): string | undefined {
    const start = this.#search(text);
    if (start === undefined) return undefined;
    const end = this.#texts.indexOf(0, start);
    return decoder.decode(this.#texts.subarray(start, end < 0 ? undefined : end));
  }

  #search(text: string): number | undefined {
    let size = 0;
    for (const char of text) {
      if (size + 4 > this.#key.length) break;
      size = writeUtf8(char.codePointAt(0) as number, this.#key, size);
    }
    let node = offsetOf(this.#units[0] ?? 0);
    for (let at = 0; at < size; at++) {
      const byte = this.#key[at] as number;
      if (byte === 0) return undefined;
      node ^= byte;
      const unit = this.#units[node] ?? 0;
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
      node ^= offsetOf(unit);
      if ((unit >>> 8) & 1) return (this.#units[node] ?? 0) & 0x7fffffff;
    }
    return undefined;
  }
}

const offsetOf = (unit: number) => ((unit >>> 10) << ((unit & 512) >>> 6)) >>> 0;

function fromBase64(field: Field): Uint8Array {
  try {
    return Uint8Array.from(atob(field.string()), (char) => char.charCodeAt(0));
  } catch {
    return field.fail("base64");
  }
}
