import { charsToBytes } from "./bytelevel.ts";
import type { Field } from "./field.ts";
import { compilePattern } from "./pattern.ts";
import { prependScheme } from "./pretokenizer.ts";

/**
 * The `decoder` of a tokenizer.json in the one form that can be streamed: every token stands for some bytes, whatever
 * its neighbours are, or whether it is the first; the bytes of all tokens are UTF-8; and the text may lose some characters at its very start.
 */
export interface Decoder {
  /**
   * The bytes of a token. `added`: an added token, whose content is text and not in the byte alphabet. `first`: nothing is
   * before it.
   */
  bytes(token: string, added: boolean, first: boolean): Uint8Array;
  /** The separator of tokens; "" unless a tokenizer.json has no decoder. */
  readonly separator: string;
  /** This character is removed at the start of the text … */
  readonly strip: string;
  /** … at most this many times. */
  readonly stripCount: number;
}

/** More than one space to strip does not occur in practice; the count is part of a snapshot. */
const MAX_STRIP = 255;
const KNOWN_IN_SEQUENCE = ["Replace", "ByteFallback", "Fuse", "Strip", "ByteLevel", "Metaspace"] as const;

const encoder = new TextEncoder();

/**
 * Reads the `decoder` of a tokenizer.json.
 * @throws ModelError for a decoder that is unknown or cannot be streamed
 */
export function compileDecoder(field: Field): Decoder {
  if (!field.present) {
    return { bytes: (token) => encoder.encode(token), separator: " ", strip: "", stripCount: 0 };
  }
  const type = field.get("type").oneOf(["Sequence", ...KNOWN_IN_SEQUENCE, "WordPiece"]);
  if (type === "WordPiece") return wordPiece(field);
  return sequence(type === "Sequence" ? flatten(field) : [field]);
}

function flatten(field: Field): Field[] {
  return field
    .get("decoders")
    .array()
    .flatMap((step) =>
      step.get("type").oneOf([...KNOWN_IN_SEQUENCE, "Sequence"]) === "Sequence" ? flatten(step) : [step],
    );
}

function sequence(steps: readonly Field[]): Decoder {
  const edits: ((token: string) => string)[] = [];
  let toBytes: ((token: string, added: boolean) => Uint8Array) | undefined;
  let fused = false;
  let strip = "";
  let stripCount = 0;
  const stripStart = (step: Field, character: string, count: number) => {
    if (strip !== "") step.fail("at most one decoder that strips the beginning");
    if (count > 0) [strip, stripCount] = [character, count];
  };

  for (const step of steps) {
    const type = step.get("type").oneOf(KNOWN_IN_SEQUENCE);
    if (toBytes && type !== "Fuse" && !(fused && type === "Strip"))
      step.fail(`${type} before the decoder that makes bytes`);
    if (fused && type !== "Fuse" && type !== "Strip") step.fail(`${type} before Fuse`);
    switch (type) {
      case "Replace": {
        const pattern = compilePattern(step.get("pattern"));
        const content = step.get("content").string();
        edits.push((token) => token.replace(pattern, () => content));
        break;
      }
      case "Metaspace": {
        const mark = step.get("replacement").character();
        edits.push((token) => token.replaceAll(mark, " "));
        if (prependScheme(step) !== "never") stripStart(step, " ", 1);
        break;
      }
      case "ByteFallback":
        toBytes = (token) => byteToken(token) ?? encoder.encode(token);
        break;
      case "ByteLevel":
        toBytes = (token, added) => (added ? undefined : charsToBytes(token)) ?? encoder.encode(token);
        fused = true;
        break;
      case "Fuse":
        fused = true;
        break;
      case "Strip": {
        const character = step.get("content").character();
        const start = step.get("start").integer(MAX_STRIP);
        if (fused) {
          step.get("stop").integer(0);
          stripStart(step, character, start);
        } else {
          const stop = step.get("stop").integer(MAX_STRIP);
          edits.push((token) => stripped(token, character, start, stop));
        }
      }
    }
  }
  const bytes = toBytes ?? ((token: string) => encoder.encode(token));
  const edited = (token: string) => edits.reduce((text, edit) => edit(text), token);
  return { bytes: (token, added) => bytes(edited(token), added), separator: "", strip, stripCount };
}

/** What WordPiece's `cleanup` replaces within a token and the space before it, in this order. */
const CLEANED = [
  ...[" .", " ?", " !", " ,"].map((text) => [text, text.slice(1)] as const),
  ...([[" ' ", "'"], [" n't", "n't"], [" 'm", "'m"], [" do not", " don't"]] as const), // biome-ignore format: a table
  ...[" 's", " 've", " 're"].map((text) => [text, text.slice(1)] as const),
];

/** Tokens are separated by spaces, unless they continue a word. see: tokenizers, decoders/wordpiece.rs */
function wordPiece(field: Field): Decoder {
  const prefix = field.get("prefix").text() ?? "##";
  const cleaned = field.get("cleanup").flag(true) ? CLEANED : [];
  const bytes = (token: string, _: boolean, first: boolean) => {
    const spaced = first ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
    return encoder.encode(cleaned.reduce((text, [found, better]) => text.replaceAll(found, better), spaced));
  };
  return { bytes, separator: "", strip: "", stripCount: 0 };
}

/** A token without up to `start` characters at its start and up to `stop` at its end, if they are `character`. */
function stripped(token: string, character: string, start: number, stop: number): string {
  let rest = token;
  for (let i = 0; i < start && rest.startsWith(character); i++) rest = rest.slice(character.length);
  for (let i = 0; i < stop && rest.endsWith(character); i++) rest = rest.slice(0, -character.length);
  return rest;
}

/** `<0x0A>` → the byte; undefined for any other token. */
function byteToken(token: string): Uint8Array | undefined {
  return /^<0x[0-9A-Fa-f]{2}>$/.test(token) ? Uint8Array.of(Number.parseInt(token.slice(3, 5), 16)) : undefined;
}
