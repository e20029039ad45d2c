/** What every store has to do, in any runtime: each case throws where one does not. */
import type { SessionStore } from "../../src/store/store.ts";

/** Bytes that no format leaves as they are by chance. */
function bytesOf(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255);
}

/** Throws if these are not the same, as JSON. */
function same(found: unknown, expected: unknown): void {
  const [one, other] = [found, expected].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`expected ${other}, found ${one}`);
}

/** Whether bytes are the same. */
function equal(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one?.length === other.length && other.every((byte, i) => byte === one[i]);
}

/** Seconds. */
const TTL = 0.2;

const text = (value: string) => new TextEncoder().encode(value);
const read = async (store: SessionStore, key: string) => {
  const found = await store.get(key);
  return found && new TextDecoder().decode(found.bytes);
};

/** A version, which has to be there. */
function made(version: string | undefined): string {
  if (version === undefined) throw new Error("expected a version, found a conflict");
  return version;
}

/** `stores`: several clients of one store, as of several processes, with nothing in it. */
export const CASES: Readonly<Record<string, (stores: readonly [SessionStore, SessionStore]) => Promise<void>>> = {
  async "bytes come back as they were, from another client too"([one, other]) {
    for (const length of [0, 1, 255, 120_000, 120_001, 3_000_000]) {
      const version = made(await one.put("states/a", bytesOf(length, length)));
      for (const store of [one, other]) {
        const found = await store.get("states/a");
        same(found?.version, version);
        same([found?.bytes.length, equal(found?.bytes, bytesOf(length, length))], [length, true]);
      }
    }
    same(await one.get("states/b"), undefined);
  },

  async "part of a larger buffer is that part"([one, other]) {
    await one.put("a", bytesOf(100).subarray(30, 41));
    same([...((await other.get("a"))?.bytes ?? [])], [...bytesOf(100).slice(30, 41)]);
  },

  async "a version is put in the place of another only if that is there"([one, other]) {
    const first = made(await one.put("a", text("first"), { ifVersion: null }));
    same(await other.put("a", text("second"), { ifVersion: null }), undefined);
    same(await read(one, "a"), "first");
    const second = made(await other.put("a", text("second"), { ifVersion: first }));
    same(second === first, false);
    same(await one.put("a", text("late"), { ifVersion: first }), undefined);
    same(await read(one, "a"), "second");
    made(await one.put("a", text("third")));
    same(await other.put("a", text("late"), { ifVersion: second }), undefined);
    same(await read(other, "a"), "third");
    same(await one.put("none", text("late"), { ifVersion: second }), undefined);
    same(await one.get("none"), undefined);
  },

  async "a deleted value is gone, and its versions with it"([one, other]) {
    const version = made(await one.put("a", text("first")));
    same(await other.delete("a"), true);
    same(await one.delete("a"), false);
    same(await one.delete("never"), false);
    same(await one.get("a"), undefined);
    same(await one.put("a", text("late"), { ifVersion: version }), undefined);
    same(await one.get("a"), undefined);
    made(await other.put("a", text("again"), { ifVersion: null }));
    same(await one.put("a", text("late"), { ifVersion: version }), undefined);
    same(await read(one, "a"), "again");
  },

  async "of many who replace a version at once, one does"(stores) {
    for (let round = 0; round < 5; round++) {
      const key = `round/${round}`;
      const before = round % 2 ? made(await stores[0].put(key, text("before"))) : null;
      const wanted = Array.from({ length: 10 }, (_, i) => `value ${i}`);
      const versions = await Promise.all(
        wanted.map((value, i) => (stores[i % 2] as SessionStore).put(key, text(value), { ifVersion: before })),
      );
      const winners = wanted.filter((_, i) => versions[i] !== undefined);
      same(winners.length, 1);
      same(await read(stores[1], key), winners[0]);
    }
  },

  async "readers see one value or another, whole, while many write"([one, other]) {
    const values = Array.from({ length: 8 }, (_, i) => bytesOf(50_000, i));
    await one.put("a", values[0] as Uint8Array);
    let writing = true;
    const writes = Promise.all(values.map((value, i) => (i % 2 ? one : other).put("a", value))).finally(() => {
      writing = false;
    });
    do {
      const found = await other.get("a");
      same(
        values.some((value) => equal(found?.bytes, value)),
        true,
      );
    } while (writing);
    for (const version of await writes) made(version);
  },

  async "a value with a time to live goes when that is over"([one, other]) {
    await one.put("short", text("x"), { ttl: TTL });
    made(await one.put("renewed", text("x"), { ttl: TTL }));
    made(await one.put("renewed", text("y"), { ttl: 1000 }));
    made(await one.put("kept", text("x"), { ttl: TTL }));
    made(await one.put("kept", text("y")));
    await new Promise((resolve) => setTimeout(resolve, 2000 * TTL));
    same(await other.get("short"), undefined);
    same(await read(other, "renewed"), "y");
    same(await read(other, "kept"), "y");
    same(await other.delete("short"), false);
    await one.put("short", text("x"), { ttl: TTL });
    await new Promise((resolve) => setTimeout(resolve, 2000 * TTL));
    made(await other.put("short", text("new"), { ifVersion: null }));
    same(await read(one, "short"), "new");
  },

  async "keys are listed by what they start with"([one, other]) {
    const keys = ["a", "a/b", "a/c.d", "a/c:d", "a/B_2", "ab", "b-1", "A"];
    for (const key of keys) await one.put(key, text(key));
    await one.put("a/gone", text("x"));
    await one.delete("a/gone");
    same(await other.list(""), [...keys].sort());
    same(await other.list("a/"), keys.filter((key) => key.startsWith("a/")).sort());
    same(await other.list("a_"), []);
    same(await other.list("c"), []);
    for (const key of keys) same(await read(other, key), key);
  },

  async "what is no key is refused"([one]) {
    for (const key of ["", "é", "a b", "a\0", "a*", "a%", "..", "../a", "a/./b", "x".repeat(201)]) {
      for (const call of [() => one.get(key), () => one.put(key, text("x")), () => one.delete(key)]) {
        const error = await (async () => call())().catch((error: unknown) => error);
        same(/key: expected 1 to 200 letters/.test((error as Error).message), true);
      }
    }
    for (const key of [".new", "a..b", "/a//b/"]) {
      made(await one.put(key, text(key)));
      same(await read(one, key), key);
    }
  },
};
