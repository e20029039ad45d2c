/**
 * XXH64 of a stream, in a state of Size.HashBytes: four accumulators, total length, number of pending bytes, 32 pending.
 * see: github.com/Cyan4973/xxHash, doc/xxhash_spec.md
 */
const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;
const P5: u64 = 0x27d4eb2f165667c5;

const TOTAL = 32;
const PENDING = 40;
const BUFFER = 48;

function round(acc: u64, lane: u64): u64 {
  return rotl<u64>(acc + lane * P2, 31) * P1;
}

function merge(hash: u64, acc: u64): u64 {
  return (hash ^ round(0, acc)) * P1 + P4;
}

export function hashInit(state: usize): void {
  store<u64>(state, P1 + P2);
  store<u64>(state, P2, 8);
  store<u64>(state, 0, 16);
  store<u64>(state, 0 - P1, 24);
  store<u64>(state, 0, TOTAL);
  store<u64>(state, 0, PENDING);
}

/** Adds `length` bytes at `p` to the stream. */
export function hashUpdate(state: usize, p: usize, length: u32): void {
  store<u64>(state, load<u64>(state, TOTAL) + <u64>length, TOTAL);
  let pending = load<u32>(state, PENDING);
  const end = p + <usize>length;
  if (pending + length < 32) {
    memory.copy(state + BUFFER + <usize>pending, p, <usize>length);
    store<u32>(state, pending + length, PENDING);
    return;
  }
  if (pending) {
    const fill = 32 - pending;
    memory.copy(state + BUFFER + <usize>pending, p, <usize>fill);
    stripes(state, state + BUFFER, state + BUFFER + 32);
    p += <usize>fill;
  }
  const whole = p + ((end - p) & ~31);
  stripes(state, p, whole);
  pending = <u32>(end - whole);
  memory.copy(state + BUFFER, whole, <usize>pending);
  store<u32>(state, pending, PENDING);
}

function stripes(state: usize, p: usize, end: usize): void {
  let a = load<u64>(state);
  let b = load<u64>(state, 8);
  let c = load<u64>(state, 16);
  let d = load<u64>(state, 24);
  while (p < end) {
    a = round(a, load<u64>(p));
    b = round(b, load<u64>(p, 8));
    c = round(c, load<u64>(p, 16));
    d = round(d, load<u64>(p, 24));
    p += 32;
  }
  store<u64>(state, a);
  store<u64>(state, b, 8);
  store<u64>(state, c, 16);
  store<u64>(state, d, 24);
}

/** The hash of the stream so far; more may be added afterwards. */
export function hashDigest(state: usize): u64 {
  const total = load<u64>(state, TOTAL);
  let hash: u64;
  if (total >= 32) {
    const a = load<u64>(state);
    const b = load<u64>(state, 8);
    const c = load<u64>(state, 16);
    const d = load<u64>(state, 24);
    hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  } else {
    hash = P5;
  }
  hash += total;
  let p = state + BUFFER;
  const end = p + <usize>load<u32>(state, PENDING);
  for (; p + 8 <= end; p += 8) hash = rotl<u64>(hash ^ round(0, load<u64>(p)), 27) * P1 + P4;
  if (p + 4 <= end) {
    hash = rotl<u64>(hash ^ (<u64>load<u32>(p) * P1), 23) * P2 + P3;
    p += 4;
  }
  for (; p < end; p++) hash = rotl<u64>(hash ^ (<u64>load<u8>(p) * P5), 11) * P1;
  hash = (hash ^ (hash >> 33)) * P2;
  hash = (hash ^ (hash >> 29)) * P3;
  return hash ^ (hash >> 32);
}
