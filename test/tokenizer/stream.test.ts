import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ModelError } from "../../src/base/errors.ts";
import { TextStream } from "../../src/tokenizer/stream.ts";
import { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { incompleteTail, isUtf8 } from "../../src/tokenizer/utf8.ts";
import { changed, llamaJson, own, ownJson, VECTORS } from "./files.ts";

const SPLIT_DECODER = { type: "Metaspace", replacement: "▁", prepend_scheme: "always" };
const tokenizers = [
  own(),
  new Tokenizer(llamaJson(), {}, "llama"),
  new Tokenizer(changed(llamaJson(), { decoder: SPLIT_DECODER }), {}, "metaspace"),
  new Tokenizer(changed(ownJson(), { decoder: null }), {}, "no decoder"),
  ...VECTORS.filter(({ there }) => there).map(({ load }) => load()),
];
const ids = (tokenizer: Tokenizer) =>
  fc.array(fc.oneof(fc.nat(tokenizer.vocabSize + 2), fc.nat(Math.min(300, tokenizer.vocabSize))), { maxLength: 40 });

describe.each(tokenizers.map((tokenizer) => ({ name: tokenizer.name, tokenizer })))("$name", ({ tokenizer }) => {
  test("the pieces of any ids are the whole decoded text, from any saved state on", () => {
    fc.assert(
      fc.property(ids(tokenizer), fc.nat(40), fc.boolean(), (sequence, cut, skipSpecialTokens) => {
        let stream = new TextStream(tokenizer, undefined, { skipSpecialTokens });
        let text = "";
        sequence.forEach((id, i) => {
          if (i === cut) stream = new TextStream(tokenizer, stream.state, { skipSpecialTokens });
          text += stream.push(id);
          expect(stream.state.length).toBe(TextStream.STATE_LENGTH);
        });
        text += stream.flush();
        expect(text).toBe(tokenizer.decode(sequence, { skipSpecialTokens }));
      }),
      { numRuns: 1000 },
    );
  });

  test("the text is that of all bytes at once, less what is stripped at the beginning", () => {
    const { separator, strip, stripCount } = tokenizer.decoder;
    const between = [...new TextEncoder().encode(separator)];
    fc.assert(
      fc.property(ids(tokenizer), (sequence) => {
        const tokens = sequence.map((id) => tokenizer.tokenBytes(id)).filter((bytes) => bytes !== undefined);
        const bytes = tokens.flatMap((token, i) => (i > 0 ? [...between, ...token] : [...token]));
        const whole = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
        const cut = stripCount > 0 && whole.startsWith(strip) ? strip.length : 0;
        expect(tokenizer.decode(sequence)).toBe(whole.slice(cut));
      }),
    );
  });

  test("no piece of a valid text has a replacement character, and every character comes with its last byte", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 30 }), (drawn) => {
        const text = drawn.replaceAll("\ufffd", "");
        const stream = new TextStream(tokenizer);
        for (const id of tokenizer.encode(text)) expect(stream.push(id)).not.toContain("\ufffd");
        expect(stream.flush()).toBe("");
      }),
      { numRuns: 300 },
    );
  });
});

test("only the first token loses its space, a special token before it or not", () => {
  const [, tokenizer, metaspace] = tokenizers;
  const hi = tokenizer!.id("▁hi")!;
  for (const one of [tokenizer!, metaspace!]) {
    const stream = new TextStream(one);
    expect([1, hi, hi, 2, hi].map((id) => stream.push(id))).toEqual(["", "hi", " hi", "", " hi"]);
  }
  const stream = new TextStream(tokenizer!);
  const space = tokenizer!.id("<0x20>")!;
  expect([space, space, hi].map((id) => stream.push(id))).toEqual(["", " ", " hi"]);
});

test("a byte token that is cut off by another token is invalid, and one at the end waits for flush", () => {
  const tokenizer = tokenizers[1]!;
  const [e2, cc, h] = ["<0xE2>", "<0xCC>", "h"].map((token) => tokenizer.id(token)!);
  const stream = new TextStream(tokenizer);
  expect([e2!, h!, cc!].map((id) => stream.push(id))).toEqual(["", "\ufffdh", ""]);
  expect([...stream.state]).toEqual([0, 0xcc, -1, -1]);
  expect(stream.flush()).toBe("\ufffd");
});

test("states that are none are refused", () => {
  const tokenizer = tokenizers[1]!;
  expect([...new TextStream(tokenizer).state]).toEqual([-1, -1, -1, -1]);
  const bad = [
    [],
    [0, -1, -1],
    [0, -1, -1, -1, -1],
    [2, -1, -1, -1],
    [-2, -1, -1, -1],
    [0, 65, -1, -1],
    [0, -1, 0xe2, -1],
  ];
  for (const state of [...bad, [0, 0xe2, 0x82, 0xac], [0, 256, -1, -1], [0, -5, -1, -1]]) {
    expect(() => new TextStream(tokenizer, Int32Array.from(state))).toThrow(ModelError);
  }
});

const complete = (bytes: Uint8Array) => {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
};
/** Every bound of a table of what UTF-8 is, and a letter. */
const BOUNDS = [0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5];

test("bytes are UTF-8 exactly where a fatal decoder takes them", () => {
  const pairs = [[], ...BOUNDS.map((byte) => [byte]), ...BOUNDS.flatMap((a) => BOUNDS.map((b) => [a, b]))];
  for (const start of pairs) {
    for (const end of pairs) {
      const bytes = Uint8Array.from([...start, ...end]);
      expect({ bytes, valid: isUtf8(bytes) }).toEqual({ bytes, valid: complete(bytes) });
    }
  }
});

test("an incomplete tail is exactly what a fatal decoder still waits for", () => {
  for (const a of BOUNDS) {
    for (const b of [-1, ...BOUNDS]) {
      for (const c of b < 0 ? [-1] : [-1, ...BOUNDS]) {
        const bytes = Uint8Array.from([a, b, c].filter((byte) => byte >= 0));
        // Whole bytes wait if and only if some continuation makes them one character.
        const completions = [[0x80], [0xbf], [0x80, 0x80], [0xbf, 0xbf], [0x80, 0x80, 0x80], [0xbf, 0x80, 0x80]];
        const waits = completions.some((more) => {
          const all = Uint8Array.from([...bytes, ...more]);
          return complete(all) && [...new TextDecoder("utf-8", { ignoreBOM: true }).decode(all)].length === 1;
        });
        expect({ bytes, waits: incompleteTail(bytes) === bytes.length }).toEqual({ bytes, waits });
      }
    }
  }
});
