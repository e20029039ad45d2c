import { Code } from "../../assembly/layout_codes.ts";
import type { Bank } from "../machine/bank.ts";
import { codeBlock } from "../machine/code_sizes.ts";
import { type AttentionOperation, attentionOf, type Program } from "../models/program.ts";
import { CACHE_PARTS, type CachePart, CODED_PARTS } from "../plan/cache.ts";
import type { Plan } from "../plan/plan.ts";
import type { SessionState } from "./state.ts";

/** Neighbouring places of a head in a part of a layer's cache: those of `count` tokens from `position` on. */
interface Stretch {
  readonly layer: number;
  /** Bytes from the start of the layer's cache. */
  readonly offset: number;
  readonly position: number;
  readonly count: number;
  /** Of each. */
  readonly bytes: number;
}

const PINNED: ReadonlySet<CachePart> = new Set(["kPinned", "kPinnedUnrotated", "vPinned"]);

/** The slots of an engine's sessions, and the caches in them. */
export class Caches {
  readonly #plan: Plan;
  readonly #program: Program;
  readonly #banks: readonly Bank[];

  constructor(plan: Plan, program: Program, banks: readonly Bank[]) {
    this.#plan = plan;
    this.#program = program;
    this.#banks = banks;
  }

  /** The cache of a layer in a session's slot, bytes from `offset` on; a view of Wasm memory. */
  bytes({ slot }: SessionState, layer: number, offset: number, length: number): Uint8Array {
    const { bank, offset: begin } = this.#plan.layers[layer] as { bank: number; offset: number };
    const memory = this.#banks[bank] as Bank;
    return memory.bytes(memory.slot(slot) + begin + offset, length);
  }

  /** Makes every byte of a slot 0. */
  clear(slot: number): void {
    for (const bank of this.#banks) bank.bytes(bank.slot(slot), bank.plan.slotBytes).fill(0);
  }

  /** Copies every byte of a slot into another one. */
  copy(from: number, to: number): void {
    for (const bank of this.#banks) {
      bank.bytes(bank.slot(to), bank.plan.slotBytes).set(bank.bytes(bank.slot(from), bank.plan.slotBytes));
    }
  }

  /** The most neighbouring tokens of which none takes another's place. */
  get smallestRing(): number {
    const rings = this.#plan.layers.map(({ cache }, i) => (attentionOf(this.#program, i) ? cache.ring : Infinity));
    return Math.min(...rings, this.#plan.policy.recall > 0 ? Code.RunPlaces : Infinity);
  }

  /** Where `count` tokens from position `first` on are stored. see: assembly/cache.ts */
  *stretches({ origin }: SessionState, first: number, count: number): Generator<Stretch> {
    for (const [layer, { cache }] of this.#plan.layers.entries()) {
      const { parts, shapes, pinned, middle } = cache;
      for (const part of CACHE_PARTS) {
        if (parts[part] < 0 || CODED_PARTS.has(part)) continue;
        const { heads, places, bytes } = shapes[part];
        const isPinned = PINNED.has(part);
        const end = isPinned ? Math.min(first + count, origin + pinned) : first + count;
        for (let position = first; position < end; ) {
          const place = isPinned ? position - origin : position % places;
          const some = Math.min(end - position, places - place);
          for (let head = 0; head < heads; head++) {
            const offset = parts[part] + (head * places + place) * bytes;
            yield { layer, offset, position, count: some, bytes };
          }
          position += some;
        }
      }
      if (middle) yield* this.#codes(layer, origin, first, count);
    }
  }

  /** Where the codes of the blocks are that these tokens are the last of. */
  *#codes(layer: number, origin: number, first: number, count: number): Generator<Stretch> {
    const { parts, shapes, codeBlocks } = (this.#plan.layers[layer] as Plan["layers"][number]).cache;
    const block = codeBlock((attentionOf(this.#program, layer) as AttentionOperation).shape.headDim);
    for (let position = first; position < first + count; position++) {
      const number = position - origin;
      if (number % block !== block - 1) continue;
      const place = Math.floor(number / block) % codeBlocks;
      for (const part of CODED_PARTS) {
        const { heads, bytes } = shapes[part];
        for (let head = 0; head < heads; head++) {
          yield { layer, offset: parts[part] + (head * codeBlocks + place) * bytes, position, count: 1, bytes };
        }
      }
    }
  }
}

/** What a session's cache holds in the places that the next tokens will take, so that these can be taken back. */
export class Displaced {
  readonly #caches: Caches;
  #bytes = new Uint8Array(0);
  #first = 0;
  #count = 0;

  constructor(caches: Caches) {
    this.#caches = caches;
  }

  /** Copies what `count` tokens from position `first` on will displace. */
  keep(session: SessionState, first: number, count: number): void {
    this.#first = first;
    this.#count = count;
    let at = 0;
    for (const { layer, offset, count, bytes } of this.#caches.stretches(session, this.#first, this.#count)) {
      const length = count * bytes;
      if (at + length > this.#bytes.length) this.#grow(at + length);
      this.#bytes.set(this.#caches.bytes(session, layer, offset, length), at);
      at += length;
    }
  }

  /** Puts back what the tokens from position `from` on have displaced. */
  putBack(session: SessionState, from: number): void {
    let at = 0;
    for (const stretch of this.#caches.stretches(session, this.#first, this.#count)) {
      const { layer, offset, position, count, bytes } = stretch;
      const stays = Math.min(count, Math.max(0, from - position)) * bytes;
      const length = count * bytes;
      const kept = this.#bytes.subarray(at + stays, at + length);
      this.#caches.bytes(session, layer, offset + stays, length - stays).set(kept);
      at += length;
    }
    this.#count = 0;
  }

  #grow(length: number): void {
    const bytes = new Uint8Array(2 * length);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}
