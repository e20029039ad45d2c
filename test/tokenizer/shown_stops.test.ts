/** Stop strings in a text of which special tokens are not shown. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ShownStops } from "../../src/tokenizer/shown_stops.ts";

interface Piece {
  readonly text: string;
  readonly shown: boolean;
}

/** Character by character, literally: the first moment at which either view of the text ends with a stop string. */
function literal(stops: readonly string[], pieces: readonly Piece[]) {
  let shown = "";
  let whole = "";
  /** How much is shown in front of each character of `whole`. */
  const before: number[] = [];
  for (const piece of pieces) {
    const ends: number[] = [];
    for (const char of piece.text) {
      before.push(shown.length);
      whole += char;
      if (piece.shown) shown += char;
      for (const stop of stops) {
        if (piece.shown && shown.endsWith(stop)) ends.push(shown.length - stop.length);
        if (whole.endsWith(stop)) ends.push(before[whole.length - stop.length] as number);
      }
      if (ends.length > 0) return { text: shown.slice(0, Math.min(...ends)), stopped: true };
    }
  }
  return { text: shown, stopped: false };
}

const word = fc.string({ unit: fc.constantFrom("a", "b", "<"), minLength: 1, maxLength: 4 });
const letter = fc.string({ unit: fc.constantFrom("a", "b", "<"), minLength: 1, maxLength: 1 });
const pieces = fc.array(fc.record({ text: letter, shown: fc.boolean() }), { maxLength: 12 });

test("the text ends where a stop string is complete in either view, also over a saved tail", () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 3 }), pieces, fc.nat(12), (stops, all, cut) => {
      let guard = new ShownStops(stops);
      let text = "";
      let stopped = false;
      for (const [i, piece] of all.entries()) {
        if (i === cut) guard = new ShownStops(stops, guard.tail);
        const step = guard.push(piece.text, piece.shown);
        text += step.text;
        stopped = step.stopped;
        if (stopped) break;
        expect(guard.tail.shown.length).toBeLessThan(4);
        expect(guard.tail.whole.length).toBeLessThan(4);
      }
      if (!stopped) text += guard.flush();
      expect({ text, stopped }).toEqual(literal(stops, all));
    }),
    { numRuns: 5000 },
  );
});

test("a special token ends a text, alone and behind text that is held back", () => {
  for (const stop of ["<|end|>", "\n<|end|>", "no\n<|"]) {
    const guard = new ShownStops([stop]);
    expect(guard.push("no", true).stopped).toBe(false);
    expect(guard.push("\n", true).stopped).toBe(false);
    const { text, stopped } = guard.push("<|end|>", false);
    expect(stopped).toBe(true);
    expect("no\n".startsWith(text)).toBe(true);
  }
});
