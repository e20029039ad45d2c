import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { ModelError } from "../../src/base/errors.ts";
import { decodeUtf8, isRecord, parseExactly, parseObject, type Replaced } from "../../src/formats/json.ts";
import { modelError, RUNS } from "./files.ts";

setDefaultTimeout(60_000 * RUNS);

const nested = (depth: number) => `{"a":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;

describe("parseObject", () => {
  test("equals JSON.parse on any object", () => {
    const objects = fc.dictionary(fc.oneof(fc.string({ unit: "binary" }), fc.constant("__proto__")), fc.jsonValue());
    fc.assert(
      fc.property(objects, fc.constantFrom("", "\t", "\r\n  "), (object, indent) => {
        const text = JSON.stringify(object, null, indent);
        for (const parsed of [parseObject(text, "x"), parseExactly(text.toWellFormed(), "x", new Map())]) {
          expect(JSON.stringify(parsed)).toBe(JSON.stringify(JSON.parse(text)));
        }
      }),
      { numRuns: 1000 * RUNS },
    );
  });

  test("accepts what JSON.parse accepts and nothing else", () => {
    const pieces = fc.constantFrom(
      ...'{ } [ ] , : " "a" "b":1 \\ \\u00e9 \\ud800 "\\n" "\\q" - 0 01 1 -1 1. .5 1.5 1e9 1E+3 1e 1e308 1e999 nan'.split(
        " ",
      ),
      ...["true", "false", "null", "tru", " ", "\n", "\t", "\u00a0", "\ufeff", "\u0000", "// c", "'a'", "é"],
    );
    const sample = '{"a": [1, -2.5e3, {"b": null}], "__proto__": {"c": "x\\u0041\\n"}, "d": [true, false, {}, []]}';
    const spliced = fc
      .tuple(fc.nat(sample.length), fc.nat(3), pieces)
      .map(([at, cut, piece]) => sample.slice(0, at) + piece + sample.slice(at + cut));
    let accepted = 0;
    const random = fc.array(pieces, { maxLength: 8 }).map((parts) => `{"a":${parts.join("")}}`);
    fc.assert(
      fc.property(fc.oneof(spliced, random), (text) => {
        const attempt = (parse: () => unknown, error: typeof ModelError | typeof SyntaxError): string => {
          try {
            return JSON.stringify(parse());
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(error);
            return "refused";
          }
        };
        const theirs = attempt(() => JSON.parse(text), SyntaxError);
        const wanted = theirs.startsWith("{") ? theirs : "refused";
        if (wanted !== "refused") accepted++;
        const python = attempt(() => parseObject(text, "x"), ModelError);
        if (wanted !== "refused" || !/NaN|1e999/.test(text)) expect(python).toBe(wanted);
        // The parser of our own, which the engine's spares us elsewhere.
        const exact = attempt(() => parseExactly(text, "x", new Map()), ModelError);
        const stricter = /ud800|e\+?\d{3}/i.test(text) && exact === "refused";
        expect(exact === "refused").toBe(wanted === "refused" || stricter);
      }),
      { numRuns: 20_000 * RUNS },
    );
    expect(accepted).toBeGreaterThan(1000);
  });

  test.each([
    ["", "a JSON object, found the end", 1, 1],
    ["[1]", "a JSON object, found [1]", 1, 1],
    ["null", "a JSON object, found null", 1, 1],
    ['\ufeff{"a":1}', 'a JSON object, found \ufeff{"a":1}', 1, 1],
    ["{", "a key in double quotes, found the end", 1, 2],
    ["{a:1}", "a key in double quotes, found a:1}", 1, 2],
    ['{"a":1,}', "a key in double quotes, found }", 1, 8],
    ['{"a" 1}', "':', found 1}", 1, 6],
    ['{\n  "a": 1\n  "b": 2\n}', `',' or '}', found "b": 2 }`, 3, 3],
    ['{"a":[1 2]}', "',' or ']', found 2]}", 1, 9],
    ['{"a":tru}', "a value, found tru}", 1, 6],
    ['{"a":}', "a value, found }", 1, 6],
    ['{"a":01}', "',' or '}', found 1}", 1, 7],
    ['{"a":nan}', "a value, found nan}", 1, 6],
    ['{"a":-NaN}', "a value, found -NaN}", 1, 6],
    ['{"a":"x', "the rest of a string, found the end", 1, 8],
    ['{"a":"x\ny"}', 'the rest of a string, found  y"}', 1, 8],
    ['{"a":"\\q"}', 'a string with valid escapes, found "\\q"}', 1, 6],
    ['{"a":1} x', "the end, found x", 1, 9],
    [nested(200), "at most 127 nested values, found [[[[[[[[[[[[[[[[[[[[", 1, 132],
  ])("%j", async (text, rest, line, column) => {
    expect(await modelError(() => parseObject(text, "f.json"))).toBe(
      `f.json: line ${line}, column ${column}: expected ${rest}`,
    );
  });

  test("Python's NaN and Infinity are values, as json.loads has them; not where text is read exactly", async () => {
    const text = '{"a":NaN,"b":[Infinity,-Infinity,1.0,-0,1e2],"NaN":"NaN","b2":1e999,"a":2.0}';
    expect(parseObject(text, "x")).toEqual({ a: 2, b: [Infinity, -Infinity, 1, -0, 100], NaN: "NaN", b2: Infinity });
    for (const word of ["NaN", "Infinity", "-Infinity"])
      expect(await modelError(() => parseExactly(`{"a":${word}}`, "x", new Map()))).toContain(
        "expected a value, found",
      );
  });

  test("nests up to 127 values, and a million brackets are no crash", async () => {
    expect(parseObject(nested(127), "x")).toHaveProperty("a");
    for (const depth of [128, 1_000_000]) {
      expect(await modelError(() => parseObject(nested(depth), "x"))).toContain("at most 127 nested values");
    }
    expect(await modelError(() => parseObject('{"a":'.repeat(1_000_000), "x"))).toContain("at most 127 nested");
  });

  test("numbers that Python writes and JSON does not have", async () => {
    const text = '{"a":[NaN,Infinity,-Infinity,1.0,-0,1e999],"NaN":"Infinity","b":1,"b":2}';
    expect(parseObject(text, "x")).toEqual({ a: [NaN, Infinity, -Infinity, 1, -0, Infinity], NaN: "Infinity", b: 2 });
    expect(await modelError(() => parseExactly('{"a":NaN}', "x", new Map()))).toBe(
      "x: line 1, column 6: expected a value, found NaN}",
    );
  });

  test("the last of two equal keys counts", () => {
    expect(parseObject('{"a":1,\n "b":{"a":2}, "\\u0061":3}', "x")).toEqual({ a: 3, b: { a: 2 } });
  });
});

describe("parseExactly", () => {
  test("keeps entries that a later one replaces, by their object", () => {
    const replaced: Replaced = new Map();
    const parsed = parseExactly('{"a":1,"b":{"c":2,"c":3},"\\u0061":{"d":4},"a":5,"toString":6}', "x", replaced);
    expect(parsed).toEqual({ a: 5, b: { c: 3 }, toString: 6 } as never);
    expect(replaced.size).toBe(2);
    expect(replaced.get(parsed)).toEqual([
      ["a", 1],
      ["a", { d: 4 }],
    ]);
    expect(replaced.get(parsed.b as object)).toEqual([["c", 2]]);
    const proto: Replaced = new Map();
    expect(proto.get(parseExactly('{"__proto__":1,"__proto__":2}', "x", proto))).toEqual([["__proto__", 1]]);
  });

  test("an integer is a number only in digits, and shown as written otherwise", () => {
    const { a } = parseExactly('{"a":[0,12,-3,1.5,1.0,1e2,-0,0e0,100e-2]}', "x", new Map());
    expect((a as unknown[]).map((value) => typeof value === "number")).toEqual([
      ...[true, true, true, true, false, false, false, false, false],
    ]);
    expect(JSON.stringify(a)).toBe('[0,12,-3,1.5,"1.0","1e2","-0","0e0","100e-2"]');
    expect((a as unknown[]).some(isRecord)).toBe(false);
  });

  test.each([
    ['{"a":1e309}', "a number in the range of f64, found 1e309}", 6],
    ['{"a":-1e400}', "a number in the range of f64, found -1e400}", 6],
    ['{"\\ud800":1}', 'a string with valid escapes, found "\\ud800":1}', 2],
    ['{"a":"\\udc00\\ud800"}', 'a string with valid escapes, found "\\udc00\\ud800"}', 6],
  ])("refuses what JSON.parse lets pass: %s", async (text, rest, column) => {
    expect(parseObject(text, "x")).toBeDefined();
    expect(await modelError(() => parseExactly(text, "x", new Map()))).toBe(
      `x: line 1, column ${column}: expected ${rest}`,
    );
  });
});

test("decodeUtf8 refuses other bytes and drops a byte order mark by default", async () => {
  const marked = new Uint8Array([0xef, 0xbb, 0xbf, 0x61, 0xc3, 0xa9]);
  expect(decodeUtf8(marked, "x")).toBe("aé");
  expect(decodeUtf8(marked, "x", { ignoreBOM: true })).toBe("\ufeffaé");
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
    expect(await modelError(() => decodeUtf8(new Uint8Array(bytes), "f"))).toBe(
      "f: expected UTF-8 text, found bytes that are not",
    );
  }
});
