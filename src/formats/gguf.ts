/**
 * GGUF: the container of llama.cpp's models, versions 2 and 3. What its reader refuses (ggml/src/gguf.cpp) is refused by
 * name here before any weight is read: tensors follow each other in the order of their entries, each at the next
 * multiple of the alignment; names and keys are unique. In addition no number may be 2^53 or more.
 */
import { ModelError, mismatch, show } from "../base/errors.ts";
import type { ByteSource } from "../base/source.ts";
import type { StringTable } from "../base/string_table.ts";
import { ARRAY, GGML_TYPES, NUMBER_TYPES, type NumberArray, STRING } from "./gguf_types.ts";
import { HeaderReader } from "./header_reader.ts";
import { decodeUtf8 } from "./json.ts";
import type { TensorInfo } from "./safetensors.ts";

/** A value of metadata. A scalar f32 is the shortest decimal that rounds to it; an array of bool is a Uint8Array. */
export type GgufValue = string | number | bigint | boolean | NumberArray | StringTable;

/** The header of a file, checked, and the source of its tensors. */
export interface GgufFile {
  readonly source: ByteSource;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In byte order; `dtype` is ggml's name ("Q4_K"), `shape` in Hugging Face's order [n, k]. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

const MAGIC = 0x46554747;
const MAX_HEADER = 100_000_000;
const MAX_NAME = 63;
const MAX_DIMS = 4;
/** The fewest bytes of an entry of metadata, and of a tensor. */
const LEAST_ENTRY = 14;
const LEAST_TENSOR = 24;
const ALIGNMENT = "general.alignment";
/** The most bytes of tensors that are kept, at the start of the data. */
const KEPT = 2 ** 20;

/**
 * Reads and checks the header of a file. `early`: names of tensors that will be read before the others; where they are
 * near the start of the data they are kept, so that the file is read forward only.
 */
export async function readGguf(source: ByteSource, early: readonly string[] = []): Promise<GgufFile> {
  const { name } = source;
  const reader = new HeaderReader(source, MAX_HEADER);
  const counts = await readCounts(reader, name);
  const metadata = await readMetadata(reader, name, counts.entries);
  const alignment = alignmentOf(metadata, name);
  const entries = await readEntries(reader, name, counts.tensors);
  const begin = Math.ceil(reader.offset / alignment) * alignment;
  const tensors = layOut(entries, begin, alignment, source);
  const ends = early.map((tensor) => tensors.get(tensor)?.end ?? 0).filter((end) => end <= begin + KEPT);
  const kept = await reader.rest(begin, Math.min(source.size, Math.max(begin, ...ends)));
  return { source: keeping(source, begin, kept), metadata, tensors };
}

async function readCounts(reader: HeaderReader, name: string): Promise<{ tensors: number; entries: number }> {
  const magic = await reader.u32("the first bytes");
  if (magic !== MAGIC) {
    const found = new TextDecoder("latin1").decode(new Uint8Array(Uint32Array.of(magic).buffer));
    const pointer = found === "vers" ? "a Git LFS pointer (run: git lfs pull)" : show(found);
    throw new ModelError(mismatch(name, "a GGUF file, whose first bytes are GGUF", pointer));
  }
  const version = await reader.u32("version");
  if (version !== 2 && version !== 3) {
    const order = version !== 0 && version % 2 ** 16 === 0 ? " (a big-endian file)" : "";
    throw new ModelError(mismatch(`${name}: version`, "2 or 3", `${version}${order}`));
  }
  const tensors = await reader.size("number of tensors");
  const entries = await reader.size("number of keys");
  reader.bound(tensors * LEAST_TENSOR, `entries of ${tensors} tensors`);
  reader.bound(entries * LEAST_ENTRY, `entries of ${entries} keys`);
  return { tensors, entries };
}

async function readMetadata(reader: HeaderReader, name: string, count: number): Promise<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = decodeUtf8(await reader.string(`key ${i}`), `${name}: key ${i}`);
    if (key === "") throw new ModelError(mismatch(`${name}: key ${i}`, "a name", "an empty one"));
    const thing = show(key);
    if (metadata.has(key)) throw new ModelError(mismatch(`${name}: ${thing}`, "this key once", "it twice"));
    const type = await reader.u32(`${thing}: type`);
    metadata.set(key, type === ARRAY ? await readArray(reader, name, thing) : await readOne(reader, name, thing, type));
  }
  return metadata;
}

async function readOne(reader: HeaderReader, name: string, thing: string, type: number): Promise<GgufValue> {
  // Texts such as licences may be in any encoding, and matter little then.
  if (type === STRING) return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await reader.string(thing));
  const number = NUMBER_TYPES.get(type);
  if (!number) throw new ModelError(mismatch(`${name}: ${thing}: type`, "one of GGUF's, from 0 to 12", type));
  const { view, at } = await reader.next(number.bytes, thing);
  return number.one(view, at);
}

async function readArray(reader: HeaderReader, name: string, thing: string): Promise<NumberArray | StringTable> {
  const type = await reader.u32(`${thing}: type of the array`);
  const count = await reader.size(`${thing}: length of the array`);
  if (type === STRING) return reader.strings(count, thing);
  const number = NUMBER_TYPES.get(type);
  if (!number) {
    const expected = "numbers or strings, by one of GGUF's types from 0 to 12";
    throw new ModelError(mismatch(`${name}: ${thing}: type of the array`, expected, type));
  }
  reader.bound(count * number.bytes, thing);
  const values = new number.Many(count);
  await reader.fill(new Uint8Array(values.buffer), thing);
  return values;
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, name: string): number {
  const alignment = metadata.get(ALIGNMENT) ?? 32;
  const good = typeof alignment === "number" && alignment > 0 && Number.isInteger(Math.log2(alignment));
  if (good) return alignment;
  throw new ModelError(mismatch(`${name}: ${ALIGNMENT}`, "a power of 2", alignment));
}

/** A tensor's entry; its offset is relative to the start of the data. */
interface Entry {
  readonly name: string;
  /** In the file's order, the contiguous one first. */
  readonly sizes: readonly number[];
  readonly type: number;
  readonly offset: number;
}

async function readEntries(reader: HeaderReader, file: string, count: number): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const bytes = await reader.string(`name of tensor ${i}`);
    const name = decodeUtf8(bytes, `${file}: name of tensor ${i}`);
    const thing = `tensor ${show(name)}`;
    if (bytes.length > MAX_NAME)
      throw new ModelError(mismatch(`${file}: ${thing}`, `a name of at most ${MAX_NAME} bytes`, bytes.length));
    const dims = await reader.u32(`${thing}: number of dimensions`);
    if (dims > MAX_DIMS)
      throw new ModelError(mismatch(`${file}: ${thing}: number of dimensions`, `at most ${MAX_DIMS}`, dims));
    const sizes: number[] = [];
    for (let j = 0; j < dims; j++) sizes.push(await reader.size(`${thing}: dimension ${j}`));
    const type = await reader.u32(`${thing}: type`);
    entries.push({ name, sizes, type, offset: await reader.size(`${thing}: offset`) });
  }
  return entries;
}

/** Checks that the tensors follow each other from `begin` on, within the file; makes offsets absolute. */
function layOut(
  entries: readonly Entry[],
  begin: number,
  alignment: number,
  { name: file, size }: ByteSource,
): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  let at = 0;
  for (const { name, sizes, type, offset } of entries) {
    const thing = `${file}: tensor ${show(name)}`;
    if (tensors.has(name)) throw new ModelError(mismatch(thing, "this name once", "it twice"));
    const { dtype, bytes } = storageOf(thing, type, sizes);
    if (offset !== at) throw new ModelError(mismatch(`${thing}: offset`, `${at}, behind the one before`, offset));
    const end = begin + at + bytes;
    if (end > size) throw new ModelError(mismatch(thing, `a file of at least ${end} bytes`, size));
    tensors.set(name, { name, dtype, shape: sizes.toReversed(), begin: begin + at, end });
    at = Math.ceil((at + bytes) / alignment) * alignment;
  }
  return tensors;
}

/** The name of a tensor's type, and its bytes. */
function storageOf(thing: string, number: number, sizes: readonly number[]): { dtype: string; bytes: number } {
  const type = GGML_TYPES.get(number);
  if (!type) throw new ModelError(mismatch(`${thing}: type`, "one of ggml's", number));
  const { name: dtype, block, bytes } = type;
  const [row = 1] = sizes;
  if (row % block !== 0)
    throw new ModelError(mismatch(thing, `rows of a multiple of ${block} numbers for ${dtype}`, row));
  const total = sizes.reduce((product, size) => product * size, 1);
  if (total * bytes >= 2 ** 53) throw new ModelError(mismatch(thing, "a shape below 2^53 bytes", sizes));
  return { dtype, bytes: (total / block) * bytes };
}

/** A source whose bytes from `begin` on were read already. */
function keeping(source: ByteSource, begin: number, bytes: Uint8Array): ByteSource {
  const { name, size, version } = source;
  return {
    ...{ name, size, ...(version === undefined ? {} : { version }) },
    async readInto(target, offset) {
      const held =
        offset < begin ? bytes.subarray(0, 0) : bytes.subarray(offset - begin, offset - begin + target.length);
      target.set(held);
      if (held.length < target.length) await source.readInto(target.subarray(held.length), offset + held.length);
    },
    close: () => source.close(),
  };
}
