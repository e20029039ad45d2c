/** Damage to weight files: to their headers, to what tensors there are, to files as a whole, and to numbers. */
import fc from "fast-check";
import { isRecord } from "../../src/formats/json.ts";
import { POLICIES } from "../../src/plan/policy.ts";
import { BITS } from "../formats/files.ts";
import { type Draft, type DraftTensor, INDEX, SHARDED, TINY, WEIGHTS } from "./draft.ts";
import { GGUF_KINDS } from "./gguf_kinds.ts";
import { ALL, choice, JSON_KINDS, type Kind, kind, number, pick, place, value } from "./kinds.ts";
import { oddSizes } from "./odd_sizes.ts";

const DTYPES = Object.keys(BITS);
const NAMES = ["__proto__", "__metadata__", "", "a\nb", "lm_head.weight", "x".repeat(3000), "model.norm.weight"];

/** The same bytes over and over, cut to a length. */
function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  for (let at = 0; at < length; at += bytes.length || length) result.set(bytes.subarray(0, length - at), at);
  return result;
}

const sizes = (shape: unknown) => shape as number[];
const isShape = (shape: unknown) =>
  Array.isArray(shape) && shape.every((n) => Number.isInteger(n) && n >= 0 && n < 1e4);
const count = (shape: unknown) => sizes(shape).reduce((product, n) => product * n, 1);
const bytesOf = (dtype: unknown, shape: unknown) => (count(shape) * (BITS[dtype as string] ?? 8)) / 8;

/** Changes after which header and data still agree with each other, though not with the config. */
const TENSORS: Readonly<Record<string, (all: DraftTensor[], at: number, n: number) => void>> = {
  remove: (all, at, n) => void all.splice(at, 1 + (n % 3)),
  rename: (all, at, n) => void Object.assign(all[at] as object, { name: pick(NAMES, n) }),
  "swap names": (all, at, n) => {
    const [a, b] = [all[at] as DraftTensor, pick(all, n) as DraftTensor];
    [a.name, b.name] = [b.name, a.name];
  },
  "swap shapes": (all, at, n) => {
    const [a, b] = [all[at] as DraftTensor, pick(all, n) as DraftTensor];
    [a.shape, b.shape, a.bytes, b.bytes] = [b.shape, a.shape, b.bytes, a.bytes];
  },
  transpose: (all, at) => void Object.assign(all[at] as object, { shape: sizes(all[at]?.shape).toReversed() }),
  reshape: (all, at, n) => {
    const tensor = all[at] as DraftTensor;
    const total = count(tensor.shape);
    const ones = new Array(n % 2000).fill(1);
    tensor.shape = pick([[total], [1, total], [total, 1], [...sizes(tensor.shape), 1], [total, ...ones]], n);
  },
  "other rows": (all, at, n) => {
    const tensor = all[at] as DraftTensor;
    const [rows = 1, ...rest] = sizes(tensor.shape);
    tensor.shape = [pick([0, rows - 1, rows + 1, 2 * rows, n % 1000], n) as number, ...rest];
    tensor.bytes = resized(tensor.bytes, bytesOf(tensor.dtype, tensor.shape));
  },
  "other dtype": (all, at, n) => {
    const tensor = all[at] as DraftTensor;
    tensor.dtype = pick(DTYPES, n);
    tensor.bytes = resized(tensor.bytes, Math.floor(bytesOf(tensor.dtype, tensor.shape)));
  },
  "same bytes, other dtype": (all, at, n) => {
    const tensor = all[at] as DraftTensor;
    const factor = (BITS[tensor.dtype as string] as number) / (BITS[pick(DTYPES, n) as string] as number);
    tensor.shape = sizes(tensor.shape).map((size, i, { length }) => (i === length - 1 ? size * factor : size));
    tensor.dtype = pick(DTYPES, n);
  },
  "one more": (all, at, n) => void all.splice(at, 0, { ...(all[at] as DraftTensor), name: pick(NAMES, n) as string }),
  "head and table": (all, _, n) => {
    const table = all.find(({ name }) => /embed_tokens|wte/.test(name));
    const bytes = table && (n % 2 ? table.bytes.slice().reverse() : table.bytes);
    if (table && bytes) all.splice(n % all.length, 0, { ...table, bytes, name: "lm_head.weight" });
  },
  twice: (all, at) => void all.push({ ...(all[at] as DraftTensor) }),
};

/** The tensors of one of the weight files, one of them, and a further number. */
const tensorOf = (draft: Draft, n: number): [DraftTensor[], number] => {
  const tensors = draft.tensors(pick(draft.weightFiles, n));
  return [tensors, n % Math.max(1, tensors.length)];
};

const tensors = kind(TINY, fc.tuple(fc.constantFrom(...Object.keys(TENSORS)), choice, choice), (draft, [how, n, m]) => {
  const [all, at] = tensorOf(draft, n);
  // Damage of another kind may have been here before.
  if (all.length > 0 && all.every(({ shape, dtype }) => isShape(shape) && (dtype as string) in BITS))
    TENSORS[how]?.(all, at, m);
});

const FIELDS = ["dtype", "shape", "offsets", "entry"] as const;
const shapes = fc.array(fc.oneof(number, value), { maxLength: 4 });
const header = kind(
  TINY,
  fc.tuple(choice, fc.constantFrom(...FIELDS), fc.oneof(value, shapes, fc.constantFrom(...DTYPES))),
  (draft, [n, field, to]) => {
    const [all, at] = tensorOf(draft, n);
    const tensor = all[at];
    if (tensor) tensor[field] = to;
  },
);

/** Offsets a little or far off: overlaps, holes, data outside the file. */
const offsets = kind(TINY, fc.tuple(choice, fc.boolean(), number), (draft, [n, begin, by]) => {
  const [all, at] = tensorOf(draft, n);
  const start = all.slice(0, at).reduce((sum, { bytes }) => sum + bytes.length, 0);
  const end = start + (all[at]?.bytes.length ?? 0);
  const tensor = all[at];
  if (tensor) tensor.offsets = begin ? [start + by, end] : [start, end + by];
});

const WHOLE = "cut cut cut longer empty remove directory pointer copy move byte".split(" ");
const POINTER = new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");

/** A file ends early, has another byte, is longer, empty, missing, a directory, a Git LFS pointer, or another's content. */
const whole = (bases: typeof ALL) =>
  kind(bases, fc.tuple(choice, fc.constantFrom(...WHOLE), place, choice), (draft, [n, how, at, m]) => {
    draft.edit((files) => {
      const name = pick([...files.keys()], n) as string;
      const other = pick([...files.keys()], m) as string;
      const bytes = files.get(name);
      if (!(bytes instanceof Uint8Array)) return;
      const short = m % 2 ? Math.floor(at * bytes.length) : Math.floor(at * Math.min(bytes.length, 5000));
      if (how === "cut") files.set(name, bytes.subarray(0, short));
      if (how === "longer") files.set(name, resized(bytes, bytes.length + 1 + (m % 9)));
      if (how === "empty") files.set(name, new Uint8Array(0));
      if (how === "directory") files.set(name, "directory");
      if (how === "pointer") files.set(name, POINTER);
      if (how === "copy" || how === "move") files.set(other, bytes);
      if (how === "remove" || how === "move") files.delete(name);
      if (how === "byte" && short < bytes.length) files.set(name, bytes.with(short, m % 256));
    });
  });

/** The index points elsewhere: to another shard, to none, to itself; or it lies beside a single file. */
const shards = kind(
  SHARDED,
  fc.tuple(choice, choice, fc.constantFrom("point", "add", "less", "all", "single")),
  (draft, [n, m, how]) => {
    const map = draft.json(INDEX).weight_map;
    if (!isRecord(map)) return;
    const names = Object.keys(map);
    const file = pick([...draft.weightFiles, INDEX, "config.json", "model-9.safetensors", "../x", WEIGHTS, ""], m);
    if (how === "point") map[pick(names, n) as string] = file;
    if (how === "add") map[pick(NAMES, n) as string] = file;
    if (how === "less") delete map[pick(names, n) as string];
    if (how === "all") for (const name of names) map[name] = file;
    if (how === "single")
      draft.edit((files) => void files.set(WEIGHTS, files.get(pick(draft.weightFiles, m) as string) ?? "directory"));
  },
);

const option = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 1, max: 100 }) },
  { weight: 4, arbitrary: number },
  { weight: 1, arbitrary: value },
  { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Infinity, -Infinity, undefined, 5n, Symbol("x"), () => 1) },
);
const bankBytes = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 350_000, max: 2_000_000 }) }, option);
const named = (...names: string[]) => fc.oneof({ weight: 20, arbitrary: fc.constantFrom(...names) }, value);
const DTYPE_OPTIONS = ["auto", "f32", "bf16", "f16"];
/** What a program that knows no types may pass. */
const options = kind(
  TINY,
  fc.record(
    {
      attention: named(...POLICIES),
      dtype: named(...DTYPE_OPTIONS, ...DTYPE_OPTIONS, "q8", "F32"),
      ...{ nGlobal: option, nLocal: option, limit: option, maxPositions: option, chunkSize: option },
      ...{ maxSessions: option, bankBytes },
    },
    { requiredKeys: [] },
  ),
  (draft, given) => void Object.assign(draft.options, given),
);

const SINGLE: Readonly<Record<string, Kind>> = {
  ...JSON_KINDS,
  "tensors that do not fit the config": tensors,
  "header fields": header,
  offsets,
  "whole files": whole(ALL),
  "whole files of a sharded model": whole([...SHARDED]),
  shards,
  options,
  "odd sizes": oddSizes,
};
const onTiny = Object.entries(SINGLE).map(([name, { params }]) => params.map((drawn) => [name, drawn] as const));

export const KINDS: Readonly<Record<string, Kind>> = {
  ...SINGLE,
  ...GGUF_KINDS,
  "two or three of all": kind(TINY, fc.array(fc.oneof(...onTiny), { minLength: 2, maxLength: 3 }), (draft, list) => {
    for (const [name, drawn] of list) SINGLE[name]?.apply(draft, drawn);
  }),
};
/** The kind that run.ts has of its own. */
export const NUMBERS = "numbers that are not finite";
export const KIND_NAMES: readonly string[] = [...Object.keys(KINDS), NUMBERS];
