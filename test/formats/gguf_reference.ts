/** GGUF by its specification, read literally and without checks: what the reader is compared with. */

/** A number that was stored as f32. */
export class F32 {
  constructor(readonly value: number) {}

  valueOf(): number {
    return this.value;
  }
}

interface ReferenceTensor {
  readonly name: string;
  readonly sizes: readonly bigint[];
  readonly type: number;
  readonly offset: bigint;
}

export interface Reference {
  readonly version: number;
  /** Arrays are lists; integers of 64 bits are bigints, f32 are F32. */
  readonly entries: readonly (readonly [key: string, value: unknown])[];
  readonly tensors: readonly ReferenceTensor[];
  /** Length of the header. */
  readonly end: number;
}

const latin1 = new TextDecoder("latin1");

/** Texts are one character per byte. Throws RangeError where the bytes end, and for an unknown type. */
export function referenceOf(bytes: Uint8Array): Reference {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const step = (size: number) => {
    at += size;
    return at - size;
  };
  const u32 = () => view.getUint32(step(4), true);
  const u64 = () => view.getBigUint64(step(8), true);
  const text = () => {
    const length = Number(u64());
    const begin = step(length);
    if (at > bytes.length) throw new RangeError("text");
    return latin1.decode(bytes.subarray(begin, at));
  };
  const one = (type: number): unknown => {
    if (type === 0) return view.getUint8(step(1));
    if (type === 1) return view.getInt8(step(1));
    if (type === 2) return view.getUint16(step(2), true);
    if (type === 3) return view.getInt16(step(2), true);
    if (type === 4) return u32();
    if (type === 5) return view.getInt32(step(4), true);
    if (type === 6) return new F32(view.getFloat32(step(4), true));
    if (type === 7) return view.getUint8(step(1)) !== 0;
    if (type === 8) return text();
    if (type === 10) return u64();
    if (type === 11) return view.getBigInt64(step(8), true);
    if (type === 12) return view.getFloat64(step(8), true);
    throw new RangeError("type");
  };
  const value = (): unknown => {
    const type = u32();
    if (type !== 9) return one(type);
    const inner = u32();
    const count = Number(u64());
    const list: unknown[] = [];
    while (list.length < count) list.push(one(inner));
    return list;
  };
  step(4);
  const version = u32();
  const [tensorCount, entryCount] = [Number(u64()), Number(u64())];
  const entries: [string, unknown][] = [];
  while (entries.length < entryCount) entries.push([text(), value()]);
  const tensors: ReferenceTensor[] = [];
  while (tensors.length < tensorCount) {
    const name = text();
    const sizes = Array.from({ length: u32() }, u64);
    tensors.push({ name, sizes, type: u32(), offset: u64() });
  }
  return { version, entries, tensors, end: at };
}
