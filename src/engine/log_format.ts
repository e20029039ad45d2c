import { ModelError, mismatch } from "../base/errors.ts";
import { safetensorsHeader } from "../formats/safetensors.ts";
import type { Bank } from "../machine/bank.ts";
import { codeBlock, codeWidth, meanBytes } from "../machine/code_sizes.ts";
import { hex } from "../machine/hash.ts";
import { type AttentionOperation, attentionOf, type Program } from "../models/program.ts";
import { CACHE_TENSORS, type CachePart } from "../plan/cache.ts";
import type { Plan, PlannedLayer } from "../plan/plan.ts";
import { LOG_SEGMENT } from "../store/log_store.ts";

/** The first tensors of a segment, 8 bytes each. */
const HEAD = [
  { name: "model_hash", dtype: "U64", shape: [1] },
  { name: "predecessor", dtype: "U64", shape: [1] },
  { name: "first_token", dtype: "I64", shape: [1] },
] as const;

/** What a log has to know of its session: the slot, and the positions of its first token and of the next one. */
export interface LoggedSession {
  readonly slot: number;
  readonly origin: number;
  readonly position: number;
}

/** What a segment says of itself: the hash of the one before it, 0 if there is none, and the number of its first token. */
export interface SegmentHead {
  readonly predecessor: bigint;
  readonly first: number;
}

/** A layer that recalls, and where its tensors are in a segment, in bytes. */
export interface LoggedLayer extends PlannedLayer {
  readonly layer: number;
  readonly shape: AttentionOperation["shape"];
  /** Blocks of codes in a segment. */
  readonly blocks: number;
  readonly means: number;
  readonly codes: number;
  readonly pairs: number;
}

/**
 * What a segment of a log is: LOG_SEGMENT tokens of a session, of each layer that recalls the means [kvHeads, blocks] and
 * codes [kvHeads, blocks, codeBlock] of their blocks (assembly/codes.ts), and their unrotated keys and values side by side, pairs
 * [kvHeads, LOG_SEGMENT, 2]. A safetensors file, of one size and layout for all segments of a model under a policy; its name
 * is XXH64 of all of it.
 */
export class LogFormat {
  readonly layers: readonly LoggedLayer[];
  /** Of a segment. */
  readonly bytes: number;
  readonly #banks: readonly Bank[];
  readonly #modelHash: bigint;
  readonly #header: Uint8Array;

  constructor(plan: Plan, program: Program, banks: readonly Bank[], modelHash: bigint) {
    this.#banks = banks;
    this.#modelHash = modelHash;
    const dtype = CACHE_TENSORS[plan.options.cacheDtype];
    const logged = plan.layers.flatMap((planned, layer) => {
      const attention = attentionOf(program, layer);
      if (!planned.cache.middle || !attention) return [];
      const blocks = LOG_SEGMENT / codeBlock(attention.shape.headDim);
      return [{ ...planned, layer, shape: attention.shape, blocks }];
    });
    const fields = logged.flatMap(({ layer, cache, shape: { kvHeads, headDim }, blocks }) => [
      { name: `layers.${layer}.means`, dtype: "U8", shape: [kvHeads, blocks, meanBytes(headDim)] },
      {
        name: `layers.${layer}.codes`,
        dtype: "U8",
        shape: [kvHeads, blocks, codeBlock(headDim), codeWidth(headDim)],
      },
      {
        name: `layers.${layer}.pairs`,
        dtype,
        shape: [kvHeads, LOG_SEGMENT, 2, dtype === "U8" ? cache.headBytes : headDim],
      },
    ]);
    this.#header = safetensorsHeader([...HEAD, ...fields]);
    let end = this.#header.length + 8 * HEAD.length;
    this.layers = logged.map((one): LoggedLayer => {
      const { kvHeads, headDim } = one.shape;
      const means = end;
      const codes = means + kvHeads * one.blocks * meanBytes(headDim);
      const pairs = codes + kvHeads * LOG_SEGMENT * codeWidth(headDim);
      end = pairs + kvHeads * LOG_SEGMENT * 2 * one.cache.headBytes;
      return { ...one, means, codes, pairs };
    });
    this.bytes = end;
  }

  /** The segment of a session's LOG_SEGMENT tokens from number `first` on, all of which are in its slot. */
  write(session: LoggedSession, { predecessor, first }: SegmentHead): Uint8Array<ArrayBuffer> {
    const segment = new Uint8Array(this.bytes);
    segment.set(this.#header);
    const head = new DataView(segment.buffer, this.#header.length);
    for (const [i, number] of [this.#modelHash, predecessor, BigInt(first)].entries()) {
      head.setBigUint64(8 * i, number, true);
    }
    this.copyCodes(session, segment, first, false);
    for (const layer of this.layers) {
      for (let kvHead = 0; kvHead < layer.shape.kvHeads; kvHead++) {
        for (let token = 0; token < LOG_SEGMENT; token++) {
          this.pair(session, layer, kvHead, first + token, segment, this.pairAt(layer, kvHead, token));
        }
      }
    }
    return segment;
  }

  /** What a segment says of itself. Throws ModelError for one of another model, format or policy. */
  head(name: string, segment: Uint8Array): SegmentHead {
    const alike = segment.length === this.bytes && this.#header.every((byte, i) => byte === segment[i]);
    if (!alike) throw new ModelError(mismatch(name, "a segment of this model's log under this policy", "another file"));
    const head = new DataView(segment.buffer, segment.byteOffset + this.#header.length);
    const modelHash = head.getBigUint64(0, true);
    if (modelHash !== this.#modelHash)
      throw new ModelError(mismatch(`${name}: model_hash`, hex(this.#modelHash), hex(modelHash)));
    return { predecessor: head.getBigUint64(8, true), first: Number(head.getBigInt64(16, true)) };
  }

  /** Copies the codes of a segment's tokens, from number `first` on, out of the session's slot, or into it: those that have a place there. */
  copyCodes(session: LoggedSession, segment: Uint8Array, first: number, into: boolean): void {
    for (const layer of this.layers) {
      this.#copyBlocks(session, layer, "means", segment, first, into);
      this.#copyBlocks(session, layer, "codes", segment, first, into);
    }
  }

  #copyBlocks(
    session: LoggedSession,
    layer: LoggedLayer,
    part: "means" | "codes",
    segment: Uint8Array,
    first: number,
    into: boolean,
  ): void {
    const { shape, cache, blocks } = layer;
    const size = cache.shapes[part].bytes;
    const bytes = this.#cache(session, layer, part);
    const number = first / codeBlock(shape.headDim);
    const end = Math.floor((session.position - session.origin) / codeBlock(shape.headDim));
    const begin = Math.max(0, end - cache.codeBlocks - number);
    for (let kvHead = 0; kvHead < shape.kvHeads; kvHead++) {
      for (let block = begin; block < Math.min(blocks, end - number); block++) {
        const place = kvHead * cache.codeBlocks + ((number + block) % cache.codeBlocks);
        const mine = bytes.subarray(place * size, (place + 1) * size);
        const there = layer[part] + (kvHead * blocks + block) * size;
        if (into) mine.set(segment.subarray(there, there + size));
        else segment.set(mine, there);
      }
    }
  }

  /** Copies key and value of the session's token of that number, which are in its slot. */
  pair(session: LoggedSession, layer: LoggedLayer, kvHead: number, token: number, to: Uint8Array, at: number): void {
    const { headBytes, recallPlaces } = layer.cache;
    const place = (session.origin + token) % recallPlaces;
    const cache = this.#cache(session, layer, "kvRecall");
    for (const [i, head] of [kvHead, layer.shape.kvHeads + kvHead].entries()) {
      const from = (head * recallPlaces + place) * headBytes;
      to.set(cache.subarray(from, from + headBytes), at + i * headBytes);
    }
  }

  /** Where key and value of token `token` of a segment are in it. */
  pairAt({ pairs, cache }: LoggedLayer, kvHead: number, token: number): number {
    return pairs + 2 * (kvHead * LOG_SEGMENT + token) * cache.headBytes;
  }

  /** A layer's cache from one of its parts on; a view of Wasm memory. */
  #cache({ slot }: LoggedSession, { bank, offset, cache }: LoggedLayer, part: CachePart): Uint8Array {
    const memory = this.#banks[bank] as Bank;
    const begin = cache.parts[part];
    return memory.bytes(memory.slot(slot) + offset + begin, cache.bytes - begin);
  }
}
