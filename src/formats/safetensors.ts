/**
 * The safetensors format: an 8-byte length, a JSON header of that length, and the tensors' bytes.
 * A file that this module accepts has every byte of its data in exactly one tensor, as the reference reader demands
 * (https://github.com/huggingface/safetensors); everything else is refused by name before any weight is read.
 */
import { ModelError, mismatch, show } from "../errors.ts";
import type { ByteSource } from "../source.ts";
import { decodeUtf8, isRecord, parseObject } from "./json.ts";

export interface TensorInfo {
  readonly name: string;
  /** As the format writes it: "F32", "BF16", "I64", ... */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Absolute byte offsets in the file. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsFile {
  readonly source: ByteSource;
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

const METADATA = "__metadata__";
const PREFIX = 8;
const MAX_HEADER = 100_000_000;
/** "version ", the first 8 bytes of a Git LFS pointer: what a clone without LFS has in a weight file's place. */
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

/** Reads and checks the header of a file; none of its tensors. */
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

/** Header bytes (length prefix included, padded with spaces to 8 bytes) for tensors laid out in the order given. */
export function safetensorsHeader(
  tensors: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[] }[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = metadata === undefined ? [] : [`"${METADATA}":${JSON.stringify(metadata)}`];
  const names = new Set([METADATA]);
  let begin = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name)) throw new ModelError(mismatch("tensors", "names that are free", name));
    names.add(name);
    const end = begin + byteLength(`tensor ${show(name)}`, dtype, shape);
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

/** The header's length as the prefix gives it, bounded before anybody allocates it. */
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
  if (header[0] !== 0x7b) throw new ModelError(mismatch(thing, "'{' as its first byte", header[0] ?? "nothing"));
  const object = parseObject(decodeUtf8(header, thing), thing, { unique: true });
  const { [METADATA]: metadata, ...entries } = object;
  const listed = Object.entries(entries).map(([name, entry]) => parseEntry(source.name, name, entry));
  const tensors = layOut(listed, PREFIX + header.length, source);
  return { source, tensors, metadata: parseMetadata(thing, metadata) };
}

/** One tensor's entry, with its offsets as they stand there: from the end of the header on. */
function parseEntry(file: string, name: string, entry: unknown): TensorInfo {
  const thing = `${file}: tensor ${show(name)}`;
  if (!isRecord(entry)) throw new ModelError(mismatch(thing, "an object of dtype, shape and data_offsets", entry));
  const { dtype, shape, data_offsets: offsets } = entry;
  const bytes = byteLength(thing, dtype, shape);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!)
    throw new ModelError(mismatch(thing, "data_offsets [begin, end]", offsets));
  const [begin, end] = offsets as [number, number];
  if (end - begin !== bytes) {
    const expected = `${bytes} bytes for ${dtype} ${show(shape)}`;
    throw new ModelError(mismatch(thing, expected, `${end - begin} (data_offsets [${begin},${end}])`));
  }
  return { name, dtype: dtype as string, shape: shape as number[], begin, end };
}

/** Checks that the tensors fill the file from `start` to its end without gap or overlap; makes offsets absolute. */
function layOut(tensors: TensorInfo[], start: number, { name: file, size }: ByteSource): Map<string, TensorInfo> {
  const found = new Map<string, TensorInfo>();
  let at = 0;
  for (const tensor of tensors.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (tensor.begin !== at) {
      const expected = `data_offsets from ${at} on (no ${tensor.begin > at ? "hole" : "overlap"})`;
      throw new ModelError(mismatch(`${file}: tensor ${show(tensor.name)}`, expected, tensor.begin));
    }
    at = tensor.end;
    found.set(tensor.name, { ...tensor, begin: start + tensor.begin, end: start + tensor.end });
  }
  if (start + at !== size) throw new ModelError(mismatch(file, `${start + at} bytes by its header`, size));
  return found;
}

function parseMetadata(thing: string, metadata: unknown = {}): Record<string, string> {
  if (!isRecord(metadata)) throw new ModelError(mismatch(`${thing}: ${METADATA}`, "an object of strings", metadata));
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string")
      throw new ModelError(mismatch(`${thing}: ${METADATA}: ${show(key)}`, "a string", value));
  }
  return metadata as Record<string, string>;
}

/** The bytes that a tensor takes, if dtype and shape are such. */
function byteLength(thing: string, dtype: unknown, shape: unknown): number {
  const bits = typeof dtype === "string" ? BITS.get(dtype) : undefined;
  if (bits === undefined) throw new ModelError(mismatch(thing, "a dtype of the format (F32, BF16, ...)", dtype));
  if (!isSizes(shape)) throw new ModelError(mismatch(thing, "a shape of non-negative integers", shape));
  let total = bits;
  for (const size of shape) {
    total *= size;
    if (!Number.isSafeInteger(total)) throw new ModelError(mismatch(thing, "a shape below 2^53 bits", shape));
  }
  if (total % 8 !== 0) throw new ModelError(mismatch(thing, `whole bytes of ${dtype}`, shape));
  return total / 8;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0 && !Object.is(n, -0));
}
