/** Kinds of damage: what is drawn at random, and what it does to a draft. Numbers choose among what is there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { FIXTURES } from "../setup.ts";
import { type Json, llamaJson, ownJson } from "../tokenizer/files.ts";
import { type Base, CONFIG, Draft, EMBEDDED, INDEX, SHARDED, TINY, tinyTokenizer } from "./draft.ts";

export interface Kind<P = unknown> {
  readonly bases: readonly Base[];
  readonly params: fc.Arbitrary<P>;
  apply(draft: Draft, params: P): void;
}

export function kind<P>(
  bases: readonly Base[],
  params: fc.Arbitrary<P>,
  apply: (draft: Draft, params: P) => void,
): Kind<P> {
  return { bases, params, apply };
}

export const ALL = [...TINY, ...EMBEDDED];
/** A number to choose with, and a place in something as a fraction of it. */
export const choice = fc.noBias(fc.nat(99_999));
export const place = choice.map((n) => n / 100_000);

export function pick<T>(list: readonly T[], n: number): T | undefined {
  return list[n % list.length];
}

const LONG = "long\nline\u2028\u0007".repeat(1000);
const SMALL = [0, -0, 1, 2, 3, 4, 6, 8, 16, 24, 32, 48, 64, 100, 1000, -1, -8, 0.5, 1.5];
const NUMBERS = [
  ...[1e-320, 5e-324, 1e-300, 1e-30, 1e-7, 1e5, 1e9, 1e18, 1e29, 1e30, 1e300, 1e308, -1e9, -1e308],
  ...[16, 20, 31, 32, 40, 53].flatMap((bits) => [2 ** bits, 2 ** bits - 2, 2 ** bits - 1]),
  ...[2 ** 24 - 1, 2 ** 32 + 1],
];
const STRINGS = ["", " ", "x", "1", "true", "\n", "\ud800", "__proto__", "constructor", "toString", "F16", LONG];
const DEEP = Array.from({ length: 300 }).reduce<unknown>((inner) => [inner], 1);
const TREES = [
  ...[[], {}, [[]], [null], [1], ["a"], { type: "x" }, { rope_type: "linear" }, { factor: 0 }, { content: "a" }, DEEP],
  ...[new Array(5000).fill(1), { constructor: 1 }, JSON.parse('{"__proto__":{"vocab_size":1}}'), { toString: null }],
];
export const number = fc.oneof(fc.constantFrom(...SMALL), fc.constantFrom(...NUMBERS), fc.nat(300), fc.double());
/** A value that a JSON file may hold, most often one that makes no sense. */
export const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: number },
  { weight: 1, arbitrary: fc.constantFrom(null, true, false) },
  { weight: 1, arbitrary: fc.oneof(fc.constantFrom(...STRINGS), fc.string()) },
  { weight: 1, arbitrary: fc.oneof(fc.constantFrom(...TREES), fc.jsonValue({ maxDepth: 3 })) },
);

/** Every object or array of a JSON value with each of its keys. */
function places(json: unknown, found: [Json, string][] = []): [Json, string][] {
  for (const key of Object.keys(json as Json)) {
    found.push([json as Json, key]);
    const inner = (json as Json)[key];
    if (typeof inner === "object" && inner !== null) places(inner, found);
  }
  return found;
}

/** Sets a key as JSON.parse does, also where it is called __proto__; to a copy, because damage may follow inside. */
function set(object: Json, key: string, to: unknown): void {
  const value = structuredClone(to);
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

const read = (file: string) => JSON.parse(readFileSync(join(FIXTURES, file), "utf8"));
const { defaults } = read("configs.json") as { defaults: Record<string, Json> };
/** Whole configs: of every model here, of every family with all of its keys, and of published models. */
const CONFIGS: Json[] = [
  ...ALL.map((base) => new Draft(base).json(CONFIG)),
  ...Object.values(defaults),
  ...Object.values<Json>(read("real-configs.json")),
];
const NESTED = "rope_type type rope_theta factor low_freq_factor high_freq_factor clip_qkv alibi_bias_max".split(" ");
/** Keys that some config or other file has. */
const KNOWN = [
  ...new Set(CONFIGS.flatMap((config) => places(config).map(([, key]) => key))),
  ...NESTED,
  ..."top_k min_p repetition_penalty max_new_tokens stop_strings eos_token_id add_eos_token chat_template".split(" "),
];
const STRANGE = [
  ..."__proto__ constructor toString hasOwnProperty unsloth_fixed 0".split(" "),
  "",
  "\n",
  LONG,
  "\u2028",
];

/** A value in the file becomes another one. */
const values = (file: string, bases: readonly Base[], which = fc.constant(file)): Kind =>
  kind(bases, fc.tuple(which, choice, value), (draft, [file, n, to]) => {
    const all = places(draft.json(file));
    const numbers = all.filter(([object, key]) => typeof object[key] === "number");
    // Sizes matter most.
    const chosen = pick(n % 2 && numbers.length > 0 ? numbers : all, n >> 1);
    if (chosen) set(chosen[0], chosen[1], to);
  });

/** A key is added, goes, moves under another's name, or takes another's value. */
const keys = (bases: readonly Base[], which: fc.Arbitrary<string>): Kind =>
  kind(
    bases,
    fc.tuple(which, fc.constantFrom("add", "remove", "rename", "copy"), choice, choice, value),
    (draft, [file, how, n, m, to]) => {
      const json = draft.json(file);
      const [object, key] = pick(places(json), n) ?? [json, ""];
      const names = how === "copy" ? places(json).map(([, name]) => name) : m % 5 ? KNOWN : STRANGE;
      const other = pick(names, m) ?? "x";
      if (how === "add") set(n % 3 ? json : object, other, to);
      else if (how === "rename" || how === "copy") set(object, other, object[key]);
      if (how === "remove" || how === "rename") delete object[key];
    },
  );

/** Some or all of the keys of another model's config. */
const crossed: Kind = kind(
  ALL,
  fc.tuple(choice, fc.constantFrom("all", "some", "some", "type"), choice),
  (draft, [n, how, bits]) => {
    const mine = draft.json(CONFIG);
    for (const [i, [key, item]] of Object.entries(pick(CONFIGS, n) as Json).entries()) {
      const taken = how === "all" || (how === "type" ? key === "model_type" : (bits >> (i % 16)) & 1);
      if (taken) set(mine, key, item);
    }
  },
);

const RAW = [
  ...'{ } [ ] , : " \\ \\u0000 \u2028 null NaN -Infinity 1e999 -1e999 00 0x10 -0 4.0 1e1 // /**/ ,, [[ ]]'.split(" "),
  ...["18446744073709551616", "\ufeff", "\0", "\r", '"\\ud800"', '"__proto__":{"a":1},', '"model_type":"mpt",'],
  ...["[".repeat(100_000), '{"a":'.repeat(2000), " ".repeat(10_000), '"a":1,'.repeat(5000), "9".repeat(5000)],
];

/** The file's text is cut into, not always at a character's end. */
const text = (bases: readonly Base[], which: fc.Arbitrary<string>): Kind =>
  kind(
    bases,
    fc.tuple(which, place, fc.nat(30), fc.constantFrom(...RAW), fc.constantFrom("here", "number", "word")),
    (draft, [file, at, cut, raw, where]) => {
      draft.edit((files) => {
        const bytes = files.get(file);
        if (!(bytes instanceof Uint8Array)) return;
        const latin = Buffer.from(bytes).toString("latin1");
        const matches = where === "here" ? [] : [...latin.matchAll(where === "number" ? /-?\d[\d.e-]*/g : /"[^"]*"/g)];
        const match = matches[Math.floor(at * matches.length)];
        const [begin, end] = match
          ? [match.index, match.index + match[0].length]
          : [Math.floor(at * latin.length), Math.floor(at * latin.length) + cut];
        const insert = Buffer.from(raw).toString("latin1");
        files.set(file, new Uint8Array(Buffer.from(latin.slice(0, begin) + insert + latin.slice(end), "latin1")));
      });
    },
  );

const [embedded, llama, tiny] = [ownJson(), llamaJson(), tinyTokenizer()].map((json) => JSON.stringify(json));
const TOKENIZERS = [embedded, llama, llama, llama, llama, llama, llama, tiny, tiny, tiny];
/** Of a larger vocabulary than the model's, too. */
const swapped: Kind = kind(TINY, fc.tuple(choice, fc.boolean(), choice, value), (draft, [n, bare, m, to]) => {
  draft.setJson("tokenizer.json", JSON.parse(pick(TOKENIZERS, n) as string));
  if (bare) draft.setJson("tokenizer_config.json", {});
  const [object, key] = pick(places(draft.json("tokenizer.json")), m) as [Json, string];
  if (n % 2) set(object, key, to);
});

const SIDE = fc.constantFrom("generation_config.json", "tokenizer_config.json");
const JSONS = fc.constantFrom(CONFIG, CONFIG, "generation_config.json", "tokenizer.json", "tokenizer_config.json");

export const JSON_KINDS: Readonly<Record<string, Kind>> = {
  "config values": values(CONFIG, ALL),
  "config keys": keys(ALL, fc.constant(CONFIG)),
  "two configs crossed": crossed,
  "JSON text": text(ALL, JSONS),
  "generation and tokenizer settings": values("", TINY, SIDE),
  "keys of other JSON files": keys(TINY, fc.oneof(SIDE, fc.constant("tokenizer.json"))),
  "tokenizer values": values("tokenizer.json", TINY),
  "tokenizers of other models": swapped,
  "index values": values(INDEX, SHARDED),
  "index text": text(SHARDED, fc.constant(INDEX)),
};
