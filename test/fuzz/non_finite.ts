/** Numbers that are not finite, put somewhere into the weights. */
import fc from "fast-check";
import type { Draft, DraftTensor } from "./draft.ts";
import { choice, pick, place } from "./kinds.ts";

/** Bits of infinities and of quiet, signalling and negative NaNs, by the tensor's dtype. */
const BITS: Readonly<Record<string, readonly number[]>> = {
  F32: [0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff],
  BF16: [0x7f80, 0xff80, 0x7fc0, 0x7f81, 0xffff],
  F16: [0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xffff],
};

/** Which tensor, which of its values, and which bits. */
export const NON_FINITE = fc.tuple(choice, place, choice);

/** Tensors that are not read. */
const OF_VISION = /vision_tower|multi_modal_projector/;

/** Spoils one value of a tensor that is read; returns what an error must call it. */
export function spoil(draft: Draft, [n, at, bits]: readonly [number, number, number]): string {
  const all = draft.tensors(pick(draft.weightFiles, n)).filter(({ name }) => !OF_VISION.test(name));
  return spoilTensor(pick(all, n) as DraftTensor, at, bits);
}

export function spoilTensor(tensor: DraftTensor, at: number, bits: number): string {
  const shape = tensor.shape as number[];
  const values = BITS[tensor.dtype as string] as readonly number[];
  const width = tensor.dtype === "F32" ? 4 : 2;
  const index = Math.floor(at * (tensor.bytes.length / width));
  tensor.bytes = tensor.bytes.slice();
  const view = Buffer.from(tensor.bytes.buffer);
  view.writeUIntLE(pick(values, bits) as number, index * width, width);
  const columns = shape[1];
  const where = columns === undefined ? [index] : [Math.floor(index / columns), index % columns];
  return `${tensor.name}[${where}]`;
}
