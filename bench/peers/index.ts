import { native } from "./native.ts";
import { onnxruntime } from "./onnxruntime.ts";
import type { PeerOptions, PeerResult } from "./result.ts";
import { transformers } from "./transformers.ts";
import { wllama } from "./wllama.ts";

export { type ForwardResult, forward } from "./forward.ts";
export { NEW, type PeerOptions, type PeerResult, PROMPT } from "./result.ts";
export { SHAPES, type Shape } from "./shapes.ts";

/**
 * Other ways of running a language model, on random weights of a published shape. Each is installed on demand at a fixed
 * version, outside the product, and run in a process of its own; what cannot be run is a result with its error.
 */
export const PEERS = { native, wllama, ort: onnxruntime, transformers } satisfies Record<
  string,
  (options: PeerOptions) => AsyncGenerator<PeerResult>
>;
export type Peer = keyof typeof PEERS;

/** The results of some peers, one after the other, so that none disturbs another. */
export async function* each(options: PeerOptions, only: readonly Peer[]): AsyncGenerator<PeerResult> {
  for (const peer of only) yield* PEERS[peer](options);
}

/** The same as a list. */
export function peers(options: PeerOptions, only = Object.keys(PEERS) as readonly Peer[]): Promise<PeerResult[]> {
  return Array.fromAsync(each(options, only));
}
