/** A session that was written down and taken up elsewhere goes on as if it had never stopped. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CACHE_DTYPES } from "../../src/base/dtype.ts";
import { type GenerateOptions, load, type Model, POLICIES, type Session } from "../../src/entry/index.ts";
import { parseSafetensors } from "../../src/formats/safetensors.ts";
import { changed, put } from "./forge.ts";
import { BOS, EMBEDDED, FAMILIES, removeTemporary, small, smallFolder, temporaryFolder, WILD } from "./small.ts";

setDefaultTimeout(120_000);
afterAll(removeTemporary);

const PROMPT = [BOS, 20, 34, 7, 9];
const OPTIONS: GenerateOptions = { ...WILD, topP: 0.98, repetitionPenalty: 1.3, ignoreEos: true };

interface Continued {
  ids: number[];
  text: string;
  logitsHash: string;
  finishReason: string;
  length: number;
}

async function goOn(session: Session, options: GenerateOptions): Promise<Continued> {
  const generation = session.generate(undefined, options);
  const ids: number[] = [];
  let text = "";
  for await (const token of generation.tokens()) {
    ids.push(token.id);
    text += token.text;
  }
  const { logitsHash, finishReason } = await generation.result;
  return { ids, text, logitsHash, finishReason, length: session.length };
}

/** The same in another process, from a file. */
async function goOnElsewhere(folder: string, load: object, snapshot: Uint8Array, options: GenerateOptions) {
  const file = join(temporaryFolder(), "snapshot.safetensors");
  writeFileSync(file, snapshot);
  const child = [join(import.meta.dir, "restore-child.ts"), folder, file, JSON.stringify({ load, options })];
  const { stdout, stderr } = Bun.spawn([process.execPath, ...child], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(stdout).text(), new Response(stderr).text()]);
  expect(err).toBe("");
  return JSON.parse(out) as Continued;
}

describe.each(FAMILIES)("%s: a fresh engine goes on with the same ids, text and logits", (family) => {
  test.each(POLICIES)("%s", async (attention) => {
    const options = { attention, maxPositions: 100 };
    const session = await (await small(family, options)).session({ seed: 5 });
    await session.generate(PROMPT, { ...OPTIONS, maxNewTokens: 30 }).text();
    const snapshot = await session.snapshot();
    const unbroken = await goOn(session, { ...OPTIONS, maxNewTokens: 40 });
    const restored = await (await small(family, options)).restore(snapshot);
    expect(restored.length).toBe(PROMPT.length + 30);
    expect(restored.seed).toBe(5);
    expect(await goOn(restored, { ...OPTIONS, maxNewTokens: 40 })).toEqual(unbroken);
    expect(new Set(unbroken.ids).size).toBeGreaterThan(15);
    // Nothing is left behind either: both are in the same state again.
    expect(await restored.snapshot()).toEqual(await session.snapshot());
  });

  test.each(CACHE_DTYPES)("a cache of %s", async (cacheDtype) => {
    const session = await (await small(family, { cacheDtype })).session({ seed: 6 });
    await session.generate(PROMPT, { ...OPTIONS, maxNewTokens: 30 }).text();
    const snapshot = await session.snapshot();
    const { tensors } = parseSafetensors(snapshot, "snapshot");
    const dtype = { f32: "F32", bf16: "BF16", int8: "U8" }[cacheDtype];
    expect(tensors.get("layers.0.kRing")?.dtype).toBe(dtype);
    const unbroken = await goOn(session, { ...OPTIONS, maxNewTokens: 40 });
    const restored = await (await small(family, { cacheDtype })).restore(snapshot);
    expect(await goOn(restored, { ...OPTIONS, maxNewTokens: 40 })).toEqual(unbroken);
    expect(await restored.snapshot()).toEqual(await session.snapshot());
  });

  test("in another process, from a file", async () => {
    const folder = smallFolder(family);
    const options = { nLocal: 8, nGlobal: 3 };
    const session = await (await load(folder, options)).session({ seed: 6 });
    await session.generate(PROMPT, { ...OPTIONS, maxNewTokens: 21 }).text();
    const snapshot = await session.snapshot();
    const more = { ...OPTIONS, maxNewTokens: 30 };
    expect(await goOnElsewhere(folder, options, snapshot, more)).toEqual(await goOn(session, more));
  });
});

test("the embedded model goes on in another process", async () => {
  const session = await (await load(EMBEDDED)).session({ seed: 1 });
  await session.generate("It was a dark night;", { maxNewTokens: 10 }).text();
  const snapshot = await session.snapshot();
  const more = { maxNewTokens: 20 };
  expect(await goOnElsewhere(EMBEDDED, {}, snapshot, more)).toEqual(await goOn(session, more));
});

describe("at any moment", () => {
  const options: GenerateOptions = { ...OPTIONS, maxNewTokens: 60, stopStrings: ["abc€", "and the", "a\nno", "é."] };
  let model: Model;
  let other: Model;
  const models = async () => {
    model ??= await small("gptj");
    other ??= await small("gptj");
  };

  test("a text broken off after every token, inside of characters and stop strings, is the unbroken one", async () => {
    await models();
    let insideCharacter = 0;
    let insideStop = 0;
    let stopped = 0;
    for (let seed = 0; seed < 6; seed++) {
      const whole = await model.session({ seed });
      const unbroken = whole.generate(PROMPT, options);
      const text = await unbroken.text();
      const { finishReason, newTokens } = await unbroken.result;
      whole.dispose();
      if (finishReason === "stop") stopped++;
      for (let cut = 1; cut < newTokens; cut++) {
        using first = await model.session({ seed });
        let begin = "";
        let tokens = 0;
        for await (const token of first.generate(PROMPT, options).tokens()) {
          begin += token.text;
          if (++tokens === cut) break;
        }
        const snapshot = await first.snapshot();
        using second = await other.restore(snapshot);
        const rest = await goOn(second, { ...options, maxNewTokens: 60 - cut });
        expect({ seed, cut, text: begin + rest.text, finishReason: rest.finishReason }).toEqual({
          ...{ seed, cut, text, finishReason },
        });
        expect(rest.ids.length).toBe(newTokens - cut);
        if (numbers(snapshot, "text_stream")[1] !== -1) insideCharacter++;
        if (field(snapshot, "text_tail").some((byte) => byte !== 0)) insideStop++;
      }
    }
    // Otherwise nothing was tried.
    expect(insideCharacter).toBeGreaterThan(20);
    expect(insideStop).toBeGreaterThan(10);
    expect(stopped).toBeGreaterThan(0);
  });

  test("before the first token, after a prompt, with a token chosen but not read, far from position 0", async () => {
    await models();
    const steps: ((session: Session) => Promise<unknown>)[] = [
      async () => {},
      (session) => session.append(PROMPT),
      (session) => session.next(OPTIONS),
      (session) => session.append([]), // reads the token chosen last
      (session) => session.next(OPTIONS),
      (session) => session.append([4, 5]),
    ];
    using session = await model.session({ seed: 9, startPosition: 2 ** 40 });
    for (const step of steps) {
      await step(session);
      using restored = await other.restore(await session.snapshot());
      using same = await session.fork();
      expect(restored.length).toBe(session.length);
      expect(await restored.logits()).toEqual((await session.logits()) as Float32Array<ArrayBuffer>);
      for (const one of [restored, same]) await one.append([8]);
      const more = { ...OPTIONS, maxNewTokens: 20 };
      expect(await goOn(restored, more)).toEqual(await goOn(same, more));
    }
  });
});

test("a snapshot read from a file, or a part of a larger buffer, is as good", async () => {
  const model = await small("mpt-heads6");
  using session = await model.session({ seed: 2 });
  await session.generate(PROMPT, { ...OPTIONS, maxNewTokens: 9 }).text();
  const snapshot = await session.snapshot();
  const larger = new Uint8Array(snapshot.length + 13);
  larger.set(snapshot, 5);
  const file = join(temporaryFolder(), "snapshot.safetensors");
  await Bun.write(file, snapshot);
  const { readFileSync } = await import("node:fs");
  for (const bytes of [larger.subarray(5, 5 + snapshot.length), Buffer.from(snapshot), readFileSync(file)]) {
    using restored = await model.restore(bytes);
    expect(await restored.snapshot()).toEqual(snapshot);
  }
});

test("a stop-string tail of any characters comes back", async () => {
  const model = await small("mpt-heads6");
  using session = await model.session();
  await session.append(PROMPT);
  for (const tail of ["\ufeff", "é€😀".repeat(28), "a\0b"]) {
    const snapshot = await changed(await session.snapshot(), "text_tail", put(0, ...new TextEncoder().encode(tail)));
    using restored = await model.restore(snapshot);
    expect(await restored.snapshot()).toEqual(snapshot);
    expect(await restored.generate(undefined, { ...OPTIONS, maxNewTokens: 5 }).text()).toStartWith(tail);
  }
});

test("one history gives one sequence of bytes, whatever its slot held before", async () => {
  const snapshots: Uint8Array[] = [];
  const model = await small("llama-gqa-tied", { maxSessions: 1 });
  for (const target of [model, model, await small("llama-gqa-tied")]) {
    using session = await target.session({ seed: 4 });
    await session.append([BOS, 5, 6]);
    snapshots.push(await session.snapshot());
    await session.generate(undefined, { ...OPTIONS, maxNewTokens: 50 }).text();
  }
  expect(snapshots[1]).toEqual(snapshots[0] as Uint8Array);
  expect(snapshots[2]).toEqual(snapshots[0] as Uint8Array);
});

test("a snapshot after 1,000 tokens has as many bytes as one after 1,000,000, which goes on as well", async () => {
  const session = await (await small("gptj")).session({ seed: 3 });
  const tokens = Array.from({ length: 1000 }, (_, i) => 3 + ((i * 7) % 50));
  await session.append(tokens);
  const { length } = await session.snapshot();
  for (let thousands = 1; thousands < 1000; thousands++) await session.append(tokens);
  const snapshot = await session.snapshot();
  expect([session.length, snapshot.length]).toEqual([1_000_000, length]);
  const restored = await (await small("gptj")).restore(snapshot);
  expect(await goOn(restored, OPTIONS)).toEqual(await goOn(session, OPTIONS));
});

describe("the file", () => {
  test("has the same length and the same fields after 3 tokens and after 300, and its unused slots are zero", async () => {
    for (const family of FAMILIES) {
      const session = await (await small(family)).session({ seed: 3 });
      await session.append([BOS, 5, 6]);
      const short = await session.snapshot();
      await session.generate(undefined, { ...OPTIONS, maxNewTokens: 297 }).text();
      expect(session.length).toBe(300);
      const long = await session.snapshot();
      expect(long.length).toBe(short.length);
      expect([...parseSafetensors(long, "x").tensors.values()]).toEqual([
        ...parseSafetensors(short, "x").tensors.values(),
      ]);
      let rings = 0;
      for (const { name, shape } of parseSafetensors(short, "x").tensors.values()) {
        if (!/Ring|Pinned/.test(name)) continue;
        rings++;
        // [kvHeads, slots, headDim]: three slots are taken, of the ring and of the pinned ones.
        const [kvHeads = 0, slots = 0, headDim = 0] = shape;
        const [before, after] = [floats(short, name), floats(long, name)];
        expect({ name, slots }).toEqual({ name, slots: name.includes("Ring") ? 8 : 3 });
        for (let i = 0; i < kvHeads * slots; i++) {
          const taken = (values: Float32Array) => values.subarray(i * headDim, (i + 1) * headDim).some((v) => v !== 0);
          expect({ name, i, short: taken(before), long: taken(after) }).toEqual({
            ...{ name, i, short: i % slots < 3, long: true },
          });
        }
      }
      expect(rings).toBeGreaterThan(3);
      expect(numbers(short, "recent").filter((id) => id === -1)).toHaveLength(5);
      expect(field(short, "text_tail").every((byte) => byte === 0)).toBe(true);
    }
  });
});

/** The bytes of a tensor, where no reader of the project is asked for more than where they are. */
function field(snapshot: Uint8Array, name: string): Uint8Array<ArrayBuffer> {
  const tensor = parseSafetensors(snapshot, "x").tensors.get(name);
  if (!tensor) throw new Error(`no ${name}`);
  return new Uint8Array(snapshot.subarray(tensor.begin, tensor.end));
}

function numbers(snapshot: Uint8Array, name: string): number[] {
  return [...new Int32Array(field(snapshot, name).buffer)];
}

function floats(snapshot: Uint8Array, name: string): Float32Array {
  return new Float32Array(field(snapshot, name).buffer);
}
