import type { WithoutEffect } from "../formats/config.ts";
import { HIDDEN, LAST, LOGITS } from "./buffers.ts";
import type { Operation, Program, Weights } from "./program.ts";

/** What a decoder of one hidden state has of its own. */
export interface Decoder {
  readonly modelType: string;
  readonly config: WithoutEffect & { readonly vocab_size: number; readonly tie_word_embeddings: boolean };
  readonly trainedLength: number;
  /** Width of the hidden state. */
  readonly hidden: number;
  readonly weights: Weights;
  /** The weight that tokens are embedded by, and that of the head where they are tied. */
  readonly table: string;
  /** Buffers of the layers beside the hidden state and its norm: f32 values per row. */
  readonly buffers: Readonly<Record<string, number>>;
  readonly layers: readonly (readonly Operation[])[];
  /** The norm before the head, in the buffer LAST. */
  readonly finalNorm: Operation;
  readonly headBias: boolean;
  /** The head's matrix as the checkpoint calls it, if not lm_head. */
  readonly headTensor?: string | undefined;
  /** Factor of the embeddings; 1 by default. */
  readonly embedScale?: number | undefined;
  /** Factor of the logits, 1 by default; and what they are then capped to, see softCap. */
  readonly logitScale?: number | undefined;
  readonly logitCap?: number | undefined;
}

/** The program of a decoder: what stands before and behind the layers is the same in all of them. */
export function decoder(parts: Decoder): Program {
  const { modelType, config, trainedLength, hidden, weights, table, layers, finalNorm, headBias } = parts;
  const vocabSize = config.vocab_size;
  const { embedScale = 1, logitScale = 1, logitCap } = parts;
  const lmHead = weights.head(table, config.tie_word_embeddings, vocabSize, hidden, headBias, parts.headTensor);
  return {
    ...{ modelType, withoutEffect: config.withoutEffect, vocabSize, trainedLength },
    buffers: { [HIDDEN]: hidden, normed: hidden, ...parts.buffers, [LAST]: hidden, [LOGITS]: vocabSize },
    weights: weights.all,
    embed: [{ op: "embed", y: HIDDEN, table }, ...scaled(HIDDEN, embedScale)],
    layers,
    head: [{ op: "gather", y: LAST, x: HIDDEN }, finalNorm, lmHead, ...scaled(LOGITS, logitScale), ...capped(logitCap)],
  };
}

/** A buffer times `factor`: no operation where that is 1. */
export function scaled(buffer: string, factor: number): Operation[] {
  return factor === 1 ? [] : [{ op: "scale", y: buffer, a: buffer, factor }];
}

function capped(cap: number | undefined): Operation[] {
  return cap === undefined ? [] : [{ op: "softCap", y: LOGITS, a: LOGITS, factor: cap }];
}
