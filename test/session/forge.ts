/** Snapshots taken apart and put together again, with a checksum that fits. */
import { Xxh64 } from "../../src/machine/hash.ts";
import { fileOf, type Tensor, tensorsOf } from "../engine/tiny.ts";
import { kernels } from "../setup.ts";

export interface Field extends Tensor {
  name: string;
}

export function fieldsOf(snapshot: Uint8Array): Field[] {
  return [...tensorsOf(snapshot)].map(([name, tensor]) => ({ name, ...tensor }));
}

/** A snapshot of these fields, whose last 8 bytes become the checksum of all others. */
export async function snapshotOf(fields: readonly Field[]): Promise<Uint8Array<ArrayBuffer>> {
  const snapshot = fileOf(new Map(fields.map((field) => [field.name, field])));
  const end = snapshot.length - 8;
  const hash = new Xxh64(await kernels()).update(snapshot.subarray(0, end)).digest();
  new DataView(snapshot.buffer).setBigUint64(end, hash, true);
  return snapshot;
}

/** The snapshot with one field changed; undefined leaves it out. */
export function changed(snapshot: Uint8Array, name: string, change: (field: Field) => Field | undefined) {
  const fields = fieldsOf(snapshot);
  if (!fields.some((field) => field.name === name)) throw new Error(`no field ${name}`);
  return snapshotOf(fields.flatMap((field) => (field.name === name ? (change(field) ?? []) : field)));
}

/** Puts numbers over those of a field, from `index` on. */
export function put(index: number, ...values: number[]): (field: Field) => Field {
  return (field) => {
    const bytes = field.bytes.slice();
    const view = new DataView(bytes.buffer);
    for (const [i, value] of values.entries()) {
      if (field.dtype === "I64") view.setBigInt64(8 * (index + i), BigInt(value), true);
      else if (field.dtype === "I32") view.setInt32(4 * (index + i), value, true);
      else if (field.dtype === "F32") view.setFloat32(4 * (index + i), value, true);
      else view.setUint8(index + i, value);
    }
    return { ...field, bytes };
  };
}

/** Gives a field another shape, and zeros behind its bytes, or fewer of them. */
export function reshaped(...shape: number[]): (field: Field) => Field {
  return (field) => {
    const width = field.bytes.length / field.shape.reduce((product, size) => product * size, 1);
    const bytes = new Uint8Array(shape.reduce((product, size) => product * size, width));
    bytes.set(field.bytes.subarray(0, bytes.length));
    return { ...field, shape, bytes };
  };
}
