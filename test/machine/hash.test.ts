import { expect, test } from "bun:test";
import fc from "fast-check";
import { Xxh64 } from "../../src/machine/hash.ts";
import { BUILDS, kernels } from "../setup.ts";

const plain = await kernels();
const hex = (data: Uint8Array): string => new Xxh64(plain).update(data).hex();
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

test.each([
  ["", "ef46db3751d8e999"],
  ["a", "d24ec4f1a98c6e5b"],
  ["abc", "44bc2cf5ad770999"],
  ["message digest", "066ed728fceeb3be"],
  ["abcdefghijklmnopqrstuvwxyz", "cfe1f278fa89835c"],
  ["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "aaa46907d3047814"],
  ["12345678901234567890123456789012345678901234567890123456789012345678901234567890", "e04a477f19ee145d"],
])("known answer: %p", (message, wanted) => {
  expect(hex(text(message))).toBe(wanted);
  expect(xxh64(text(message)).toString(16).padStart(16, "0")).toBe(wanted);
});

test("every length from 0 to 200: the hash by the definition, in BigInt", () => {
  for (let length = 0; length <= 200; length++) {
    const data = Uint8Array.from({ length }, (_, i) => (i * i * 31 + length * 7) & 255);
    expect(new Xxh64(plain).update(data).digest()).toBe(xxh64(data));
  }
});

test("a stream cut anywhere, digests taken on the way, two streams at once: one hash", () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 70, size: "max" }), { maxLength: 8 });
  const property = fc.property(parts, parts, (first, second) => {
    const [a, b] = [new Xxh64(plain), new Xxh64(plain)];
    const [seenA, seenB]: [number[], number[]] = [[], []];
    for (let i = 0; i < Math.max(first.length, second.length); i++) {
      seenA.push(...(first[i] ?? []));
      seenB.push(...(second[i] ?? []));
      expect(a.update(first[i] ?? new Uint8Array()).digest()).toBe(xxh64(Uint8Array.from(seenA)));
      b.update(second[i] ?? new Uint8Array());
    }
    expect(b.digest()).toBe(xxh64(Uint8Array.from(seenB)));
  });
  fc.assert(property, { numRuns: 200 });
});

test("more than is staged at once, from a view that begins anywhere, in every build: one hash", async () => {
  const all = Uint8Array.from({ length: 200_003 }, (_, i) => (i * 2654435761) >>> 13);
  for (const [from, to] of [
    [0, 65536],
    [3, 65539],
    [1, 131072 + 1],
    [5, 200_003],
  ] as const) {
    const wanted = xxh64(all.subarray(from, to));
    for (const build of BUILDS) {
      expect(new Xxh64(await kernels(build)).update(all.subarray(from, to)).digest()).toBe(wanted);
    }
  }
});

/** XXH64, seed 0. see: github.com/Cyan4973/xxHash, doc/xxhash_spec.md */
function xxh64(data: Uint8Array): bigint {
  const P = [
    11400714785074694791n,
    14029467366897019727n,
    1609587929392839161n,
    9650029242287828579n,
    2870177450012600261n,
  ];
  const [p1, p2, p3, p4, p5] = P as [bigint, bigint, bigint, bigint, bigint];
  const u64 = (value: bigint) => BigInt.asUintN(64, value);
  const rotate = (value: bigint, by: bigint) => u64(u64(value) << by) | (u64(value) >> (64n - by));
  const round = (acc: bigint, lane: bigint) => u64(rotate(acc + lane * p2, 31n) * p1);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = 0;
  let hash = p5;
  if (data.length >= 32) {
    const lanes = [p1 + p2, p2, 0n, -p1];
    for (; at + 32 <= data.length; at += 32) {
      for (let i = 0; i < 4; i++) lanes[i] = round(lanes[i]!, view.getBigUint64(at + 8 * i, true));
    }
    hash = [1n, 7n, 12n, 18n].reduce((sum, by, i) => sum + rotate(lanes[i]!, by), 0n);
    for (const lane of lanes) hash = u64((u64(hash) ^ round(0n, lane)) * p1 + p4);
  }
  hash = u64(hash + BigInt(data.length));
  for (; at + 8 <= data.length; at += 8) {
    hash = u64(rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * p1 + p4);
  }
  for (; at + 4 <= data.length; at += 4) {
    hash = u64(rotate(hash ^ u64(BigInt(view.getUint32(at, true)) * p1), 23n) * p2 + p3);
  }
  for (; at < data.length; at++) hash = u64(rotate(hash ^ u64(BigInt(data[at]!) * p5), 11n) * p1);
  hash = u64((hash ^ (hash >> 33n)) * p2);
  hash = u64((hash ^ (hash >> 29n)) * p3);
  return hash ^ (hash >> 32n);
}
