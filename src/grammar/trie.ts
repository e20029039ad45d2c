import type { StringTable } from "../base/string_table.ts";

/** Longer tokens are never allowed; the longest in use have about 100 bytes. */
const MOST_BYTES = 1024;
/** Bytes that a whole number holds exactly. */
const HEAD = 6;

/** The bytes of all tokens as a tree whose nodes are in depth-first order; made once for each tokenizer. */
export class TokenTrie {
  /** Tokens of the vocabulary, those without bytes included. */
  readonly size: number;
  /** Bytes of the longest token. */
  readonly longest: number;
  readonly nodes: number;
  /** u8[nodes]: the byte that leads to a node. */
  readonly byte: Uint8Array;
  /** u16[nodes]: how many bytes are before it. */
  readonly depth: Uint16Array;
  /** u32[nodes]: the first node that is not below this one. */
  readonly after: Uint32Array;
  /** u32[nodes + 1]: the tokens that end at a node are order[first[node], first[node + 1]). */
  readonly first: Uint32Array;
  /** u32[tokens with bytes]: their ids, sorted by their bytes. */
  readonly order: Uint32Array;
  readonly #table: StringTable;

  /** @param table the bytes of each token by id; none: a token that gives no text */
  constructor(table: StringTable) {
    this.size = table.count;
    this.#table = table;
    this.order = sorted(table);
    const { bytes, offsets } = table;
    const lengthOf = (id: number) => offsets[id + 1]! - offsets[id]!;
    const most = this.order.reduce((sum, id) => sum + lengthOf(id), 0);
    const byte = new Uint8Array(most);
    const depth = new Uint16Array(most);
    const first = new Uint32Array(most + 1);
    let longest = 0;
    let nodes = 0;
    let last = -1;
    for (const [i, id] of this.order.entries()) {
      const start = offsets[id]!;
      const length = lengthOf(id);
      longest = Math.max(longest, length);
      let same = 0;
      if (last >= 0) {
        const before = offsets[last]!;
        const shorter = Math.min(length, lengthOf(last));
        while (same < shorter && bytes[before + same] === bytes[start + same]) same++;
      }
      for (let at = same; at < length; at++, nodes++) {
        byte[nodes] = bytes[start + at]!;
        depth[nodes] = at;
        // The node of its last byte comes last.
        first[nodes] = i;
      }
      last = id;
    }
    first[nodes] = this.order.length;
    this.nodes = nodes;
    this.longest = longest;
    this.byte = byte.slice(0, nodes);
    this.depth = depth.slice(0, nodes);
    this.first = first.slice(0, nodes + 1);
    this.after = new Uint32Array(nodes).fill(nodes);
    const path: number[] = [];
    for (let node = 0; node < nodes; node++) {
      for (let above = path.length; above > this.depth[node]!; above--) this.after[path.pop()!] = node;
      path.push(node);
    }
  }

  /** The bytes of a token; none if it gives no text. */
  bytes(id: number): Uint8Array {
    const { bytes, offsets } = this.#table;
    return bytes.subarray(offsets[id], offsets[id + 1]);
  }
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
