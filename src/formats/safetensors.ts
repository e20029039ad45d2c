/**
 * The safetensors format: an 8-byte length, a JSON header of that length, and the tensors' bytes. What the reference
 * reader (https://github.com/huggingface/safetensors, 0.8) accepts is accepted, oddities of its JSON library included,
 * and what it refuses is refused by name before any weight is read: every byte of the data must belong to exactly one
 * tensor. One difference: sizes from 2^53 on, which only an empty tensor can have, are refused.
 */
import { ModelError, mismatch, show } from "../base/errors.ts";
import type { ByteSource } from "../base/source.ts";
import { decodeUtf8, isRecord, parseExactly, type Replaced } from "./json.ts";

/** A tensor's entry in the header. */
export interface TensorInfo {
  readonly name: string;
  /** As the format spells it: "F32", "BF16", "I64", ... */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Absolute byte offsets in the file. */
  readonly begin: number;
  readonly end: number;
}

/** The header of a file, checked, and the source of its tensors. */
export interface SafetensorsFile {
  readonly source: ByteSource;
  /** In byte order. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

const METADATA = "__metadata__";
const FIELDS = ["dtype", "shape", "data_offsets"];
const OFFSETS = "data_offsets [begin, end]";
const PREFIX = 8;
const MAX_HEADER = 100_000_000;
/** "version ", the first 8 bytes of a Git LFS pointer, which a clone without LFS has in place of weights. */
const LFS_POINTER = 0x206e6f6973726576n;

/** Bits per value of every dtype of the format. */
const BITS: ReadonlyMap<string, number> = new Map(
  Object.entries({
    4: "F4",
    6: "F6_E2M3 F6_E3M2",
    8: "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
    16: "I16 U16 F16 BF16",
    32: "I32 U32 F32",
    64: "C64 F64 I64 U64",
  }).flatMap(([bits, names]) => names.split(" ").map((name) => [name, Number(bits)])),
);

/** Reads and checks the header of a file, but no tensor. */
export async function readSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const prefix = new Uint8Array(Math.min(PREFIX, source.size));
  await source.readInto(prefix, 0);
  const header = new Uint8Array(headerLength(prefix, source));
  await source.readInto(header, PREFIX);
  return parseHeader(header, source);
}

/** The same for a file in memory; its source reads from `bytes`. */
export function parseSafetensors(bytes: Uint8Array, name: string): SafetensorsFile {
  const source = memorySource(bytes, name);
  return parseHeader(bytes.slice(PREFIX, PREFIX + headerLength(bytes, source)), source);
}

/** Bytes in memory as a source. */
export function memorySource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    async readInto(target, offset) {
      const end = offset + target.length;
      if (end > bytes.length) throw new ModelError(mismatch(name, `at least ${end} bytes`, bytes.length));
      target.set(bytes.subarray(offset, end));
    },
    async close() {},
  };
}

/** Header bytes (length prefix included, padded with spaces to 8 bytes) for tensors in the given order. */
export function safetensorsHeader(
  tensors: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[] }[],
): Uint8Array {
  const entries: string[] = [];
  const names = new Set([METADATA]);
  let begin = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name)) throw new ModelError(mismatch("tensors", "unique names", name));
    if (!name.isWellFormed()) throw new ModelError(mismatch("tensors", "names of whole characters", name));
    names.add(name);
    const thing = `tensor ${show(name)}`;
    expectType(thing, dtype, shape);
    const end = begin + byteLength(thing, dtype, shape);
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    begin = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER) throw new ModelError(mismatch("header", `at most ${MAX_HEADER} bytes`, length));
  const header = new Uint8Array(PREFIX + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, PREFIX);
  return header;
}

/** The header's length by its prefix, bounded before anything is allocated. */
function headerLength(prefix: Uint8Array, { name, size }: ByteSource): number {
  if (size < PREFIX) throw new ModelError(mismatch(name, `at least ${PREFIX} bytes`, size));
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length === LFS_POINTER) throw new ModelError(mismatch(name, "weights", "a Git LFS pointer (run: git lfs pull)"));
  const limit = Math.min(MAX_HEADER, size - PREFIX);
  if (length > limit) throw new ModelError(mismatch(name, `a header of at most ${limit} bytes`, `${length}`));
  return Number(length);
}

function parseHeader(header: Uint8Array, source: ByteSource): SafetensorsFile {
  const thing = `${source.name}: header`;
  const replaced: Replaced = new Map();
  const object = parseExactly(decodeUtf8(header, thing, { ignoreBOM: true }), thing, replaced);
  const { [METADATA]: metadata, ...entries } = object;
  const parse = ([name, entry]: [string, unknown]) => parseEntry(source.name, name, entry, replaced);
  // Of two entries of one name the last one counts; the others must still be valid.
  for (const entry of replaced.get(object) ?? []) {
    if (entry[0] === METADATA) throw new ModelError(mismatch(thing, `${METADATA} once`, "it twice"));
    parse(entry);
  }
  const tensors = layOut(Object.entries(entries).map(parse), PREFIX + header.length, source);
  return { source, tensors, metadata: parseMetadata(`${thing}: ${METADATA}`, metadata ?? {}, replaced) };
}

/**
 * One tensor's entry, with offsets relative to the end of the header, as stored. It may be a list of the three fields.
 */
function parseEntry(file: string, name: string, entry: unknown, replaced: Replaced): TensorInfo {
  const thing = `${file}: tensor ${show(name)}`;
  const listed = Array.isArray(entry) && entry.length === FIELDS.length;
  if (!listed && !isRecord(entry)) throw new ModelError(mismatch(thing, `an object of ${FIELDS.join(", ")}`, entry));
  const twice = replaced.get(entry)?.find(([key]) => FIELDS.includes(key));
  if (twice) throw new ModelError(mismatch(thing, `${twice[0]} once`, "it twice"));
  const [written, shape, offsets] = listed ? entry : FIELDS.map((field) => (entry as Record<string, unknown>)[field]);
  const dtype = isRecord(written) && !replaced.has(written) ? variant(written) : written;
  expectType(thing, dtype, shape);
  if (!isSizes(offsets) || offsets.length !== 2) throw new ModelError(mismatch(thing, OFFSETS, offsets));
  return { name, dtype: dtype as string, shape: shape as number[], begin: offsets[0]!, end: offsets[1]! };
}

/** The dtype of an object such as {"F32": null}, a form in which it may be stored. */
function variant(written: Record<string, unknown>): unknown {
  const [entry, more] = Object.entries(written);
  return entry?.[1] === null && !more ? entry[0] : written;
}

/** Checks that the tensors fill the file from `start` to its end without gap or overlap; makes offsets absolute. */
function layOut(tensors: TensorInfo[], start: number, { name: file, size }: ByteSource): Map<string, TensorInfo> {
  const found = new Map<string, TensorInfo>();
  let at = 0;
  for (const tensor of tensors.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    const { name, dtype, shape, begin, end } = tensor;
    const thing = `${file}: tensor ${show(name)}`;
    if (end < begin) throw new ModelError(mismatch(thing, OFFSETS, [begin, end]));
    if (begin !== at) {
      throw new ModelError(
        mismatch(thing, `data_offsets from ${at} on (no ${begin > at ? "hole" : "overlap"})`, begin),
      );
    }
    const bytes = byteLength(thing, dtype, shape);
    if (end - begin !== bytes) {
      const expected = `${bytes} bytes for ${dtype} ${show(shape)}`;
      throw new ModelError(mismatch(thing, expected, `${end - begin} (data_offsets [${begin},${end}])`));
    }
    at = end;
    found.set(name, { ...tensor, begin: start + begin, end: start + end });
  }
  if (start + at !== size) throw new ModelError(mismatch(file, `${start + at} bytes by its header`, size));
  return found;
}

function parseMetadata(thing: string, metadata: unknown, replaced: Replaced): Record<string, string> {
  if (!isRecord(metadata)) throw new ModelError(mismatch(thing, "an object of strings", metadata));
  for (const [key, value] of [...(replaced.get(metadata) ?? []), ...Object.entries(metadata)]) {
    if (typeof value !== "string") throw new ModelError(mismatch(`${thing}: ${show(key)}`, "a string", value));
  }
  return metadata as Record<string, string>;
}

/** The bytes that a tensor takes, counted as the reference does: in 64 bits, without overflow. */
function byteLength(thing: string, dtype: string, shape: readonly number[]): number {
  let bits = 1n;
  for (const size of [...shape, BITS.get(dtype) as number]) {
    bits *= BigInt(size);
    if (bits >= 2n ** 64n) throw new ModelError(mismatch(thing, "a shape below 2^64 bits", shape));
  }
  if (bits % 8n !== 0n) throw new ModelError(mismatch(thing, `whole bytes of ${dtype}`, shape));
  return Number(bits / 8n);
}

function expectType(thing: string, dtype: unknown, shape: unknown): void {
  if (typeof dtype !== "string" || !BITS.has(dtype))
    throw new ModelError(mismatch(thing, "a dtype of the format (F32, BF16, ...)", dtype));
  if (!isSizes(shape)) throw new ModelError(mismatch(thing, "a shape of non-negative integers", shape));
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
