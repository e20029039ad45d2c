import { expect, test } from "bun:test";
import fc from "fast-check";
import { OptionError } from "../../src/base/errors.ts";
import { StopStrings } from "../../src/tokenizer/stop.ts";

/** Character by character, literally: the first moment at which the text ends with a stop string. */
function literal(stops: readonly string[], text: string) {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length);
    if (ending[0] !== undefined) return { text: text.slice(0, end - ending[0].length), stopped: ending[0] };
  }
  return { text, stopped: undefined };
}

const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });

test("however the text is cut, also over a saved tail, it ends at the first stop string", () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 3 }), fc.array(word, { maxLength: 8 }), fc.nat(8), (stops, pieces, cut) => {
      let guard = new StopStrings(stops);
      let text = "";
      let stopped: string | undefined;
      pieces.forEach((piece, i) => {
        if (i === cut && stopped === undefined) guard = new StopStrings(stops, guard.tail);
        const step = guard.push(piece);
        text += step.text;
        stopped = step.stopped;
        // What is held back is the beginning of a stop string, and the longest such.
        if (stopped === undefined && guard.tail !== "") expect(stops.some((s) => s.startsWith(guard.tail))).toBe(true);
      });
      text += guard.flush();
      expect({ text, stopped }).toEqual(literal(stops, pieces.join("")));
    }),
    { numRuns: 3000 },
  );
});

test("holds back no more than it must", () => {
  const guard = new StopStrings(["\nUser:", "</s>"]);
  expect(guard.push("Hello\n")).toEqual({ text: "Hello", stopped: undefined });
  expect(guard.tail).toBe("\n");
  expect(guard.push("Us")).toEqual({ text: "", stopped: undefined });
  expect(guard.push("e it")).toEqual({ text: "\nUse it", stopped: undefined });
  expect(guard.tail).toBe("");
  expect(guard.push("\nUser: x")).toEqual({ text: "", stopped: "\nUser:" });
  expect(guard.push("more")).toEqual({ text: "", stopped: "\nUser:" });
  expect(guard.flush()).toBe("");
});

test("complete at the same character, the longest wins; complete earlier wins over begun earlier", () => {
  expect(new StopStrings(["b", "ab"]).push("xab")).toEqual({ text: "x", stopped: "ab" });
  expect(new StopStrings(["abcd", "bc"]).push("abcd")).toEqual({ text: "a", stopped: "bc" });
  expect(new StopStrings([]).push("abcd")).toEqual({ text: "abcd", stopped: undefined });
});

test("what is no stop string is refused", () => {
  for (const stop of ["", "x".repeat(257), "é".repeat(129), "\ud800", 3 as never]) {
    expect(() => new StopStrings([stop])).toThrow(OptionError);
  }
  const longest = "é".repeat(128);
  expect(new StopStrings([longest]).push(`a${longest}`)).toEqual({ text: "a", stopped: longest });
});
