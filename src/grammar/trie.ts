import type { StringTable } from "../base/string_table.ts";
import { plainLength } from "./plain.ts";

/** Longer tokens are never allowed; the longest in use have about 100 bytes. */
const MOST_BYTES = 1024;
/** Bytes that a whole number holds exactly. */
const HEAD = 6;

/** Longer tokens are a part of their own: which of the shorter ones may follow hardly depends on how far a repetition is. */
const SHORT_BYTES = 16;
/** That some token goes on behind the bytes that are known. */
const UNSURE = -2;

/** The bytes of all tokens of a vocabulary; made once for each tokenizer. */
export class TokenTrie {
  /** Tokens, those without bytes included. */
  readonly size: number;
  /** Bytes of the longest token. */
  readonly longest: number;
  /** Tokens by their length, the shorter ones first. */
  readonly parts: readonly TokenPart[];
  readonly #table: StringTable;

  /** @param table the bytes of each token by id; none: a token that gives no text */
  constructor(table: StringTable) {
    const { count, offsets } = table;
    this.size = count;
    this.#table = table;
    const ids = sorted(table);
    const isShort = (id: number) => offsets[id + 1]! - offsets[id]! <= SHORT_BYTES;
    this.parts = [ids.filter(isShort), ids.filter((id) => !isShort(id))]
      .filter((some) => some.length > 0)
      .map((some) => new TokenPart(table, some));
    this.longest = this.parts.at(-1)?.longest ?? 0;
  }

  /** The bytes of a token; none if it gives no text. */
  bytes(id: number): Uint8Array {
    const { bytes, offsets } = this.#table;
    return bytes.subarray(offsets[id], offsets[id + 1]);
  }

  /**
   * The longest token that `bytes` has from an index on, by the last of its ids that `may` be meant; −1: there is none, or
   * one that goes on behind the bytes might be longer.
   */
  longestAt(bytes: Uint8Array, from: number, may: (id: number) => boolean): number {
    const found = this.parts.map((part) => part.longestAt(bytes, from, may));
    return found.includes(UNSURE) ? -1 : (found.findLast((id) => id >= 0) ?? -1);
  }
}

/** Some of the tokens. */
export class TokenPart {
  /** Bytes of the longest token. */
  readonly longest: number;
  /** All tokens, and those that are not plain text. */
  readonly all: Tree;
  readonly others: Tree;
  readonly #words: number;
  /** i16[tokens]: how many plain characters each of `all` is; −1: it is anything else. */
  readonly #lengths: Int16Array;
  /** Masks of the tokens of at most so many plain characters. */
  readonly #plain: (Uint32Array | undefined)[] = [];

  /** @param ids sorted by the bytes of the tokens */
  constructor(table: StringTable, ids: Uint32Array) {
    const { bytes, offsets, count } = table;
    this.#words = (count + 31) >> 5;
    this.#lengths = Int16Array.from(ids, (id) => plainLength(bytes, offsets[id]!, offsets[id + 1]!));
    this.longest = ids.reduce((most, id) => Math.max(most, offsets[id + 1]! - offsets[id]!), 0);
    this.all = treeOf(table, ids);
    this.others = treeOf(
      table,
      ids.filter((_, i) => this.#lengths[i]! < 0),
    );
  }

  /** As TokenTrie's, of these tokens; UNSURE if one goes on behind the bytes. */
  longestAt(bytes: Uint8Array, from: number, may: (id: number) => boolean): number {
    const { nodes, byte, after, first, order } = this.all;
    let longest = -1;
    for (let [at, node, end] = [from, 0, nodes]; at < bytes.length; at++) {
      while (node < end && byte[node] !== bytes[at]) node = after[node]!;
      if (node >= end) return longest;
      for (let i = first[node]!; i < first[node + 1]!; i++) if (may(order[i]!)) longest = order[i]!;
      end = after[node++]!;
    }
    return UNSURE;
  }

  /** The tokens of at most so many plain characters: bit id % 32 of word id >> 5, not to be changed. */
  plain(most: number): Uint32Array {
    const known = this.#plain[most];
    if (known) return known;
    const mask = new Uint32Array(this.#words);
    const { order } = this.all;
    for (let i = 0; i < order.length; i++) {
      const length = this.#lengths[i]!;
      if (length > 0 && length <= most) mask[order[i]! >> 5]! |= 1 << (order[i]! & 31);
    }
    this.#plain[most] = mask;
    return mask;
  }
}

/** Tokens as a tree whose nodes are in depth-first order. */
export interface Tree {
  readonly nodes: number;
  /** u8[nodes]: the byte that leads to a node. */
  readonly byte: Uint8Array;
  /** u16[nodes]: how many bytes are before it. */
  readonly depth: Uint16Array;
  /** u32[nodes]: the first node that is not below this one. */
  readonly after: Uint32Array;
  /** u32[nodes + 1]: the tokens that end at a node are order[first[node], first[node + 1]). */
  readonly first: Uint32Array;
  /** u32[tokens]: their ids, sorted by their bytes. */
  readonly order: Uint32Array;
}

/** The tree of tokens that are sorted by their bytes. */
function treeOf({ bytes, offsets }: StringTable, order: Uint32Array): Tree {
  const most = order.reduce((sum, id) => sum + offsets[id + 1]! - offsets[id]!, 0);
  const byte = new Uint8Array(most);
  const depth = new Uint16Array(most);
  const first = new Uint32Array(most + 1);
  const after = new Uint32Array(most);
  const path: number[] = [];
  let nodes = 0;
  let [before, beforeEnd] = [0, 0];
  for (let i = 0; i < order.length; i++) {
    const start = offsets[order[i]!]!;
    const end = offsets[order[i]! + 1]!;
    let same = 0;
    while (start + same < end && before + same < beforeEnd && bytes[before + same] === bytes[start + same]) same++;
    if (start + same < end) while (path.length > same) after[path.pop()!] = nodes;
    for (let at = start + same; at < end; at++) {
      byte[nodes] = bytes[at]!;
      depth[nodes] = at - start;
      // The node of its last byte comes last.
      first[nodes] = i;
      path.push(nodes++);
    }
    [before, beforeEnd] = [start, end];
  }
  for (const node of path) after[node] = nodes;
  first[nodes] = order.length;
  const cut = { byte: byte.slice(0, nodes), depth: depth.slice(0, nodes), after: after.slice(0, nodes) };
  return { ...cut, nodes, order, first: first.slice(0, nodes + 1) };
}

/** The ids of tokens with bytes, by their bytes and then by id. */
function sorted({ count, bytes, offsets }: StringTable): Uint32Array {
  /** Of each token as many bytes as one number holds. */
  const heads = new Float64Array(count);
  const ids: number[] = [];
  for (let id = 0; id < count; id++) {
    const start = offsets[id]!;
    const length = offsets[id + 1]! - start;
    if (length === 0 || length > MOST_BYTES) continue;
    ids.push(id);
    for (let i = 0; i < HEAD; i++) heads[id] = 256 * heads[id]! + (i < length ? bytes[start + i]! : 0);
  }
  return Uint32Array.from(ids).sort((a, b) => {
    if (heads[a] !== heads[b]) return heads[a]! - heads[b]!;
    const [startA, startB] = [offsets[a]!, offsets[b]!];
    const [lengthA, lengthB] = [offsets[a + 1]! - startA, offsets[b + 1]! - startB];
    const shorter = Math.min(lengthA, lengthB);
    for (let i = Math.min(HEAD, shorter); i < shorter; i++) {
      if (bytes[startA + i] !== bytes[startB + i]) return bytes[startA + i]! - bytes[startB + i]!;
    }
    return lengthA - lengthB || a - b;
  });
}
