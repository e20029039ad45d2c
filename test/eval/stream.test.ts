import { describe, expect, test } from "bun:test";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TextFile, textFiles } from "../../research/cli/texts.ts";
import { type Corpus, Documents, documentOrder, mean, Stream, type StreamState } from "../../research/eval/stream.ts";
import { withCheckpoint } from "../../src/session/load.ts";
import { loadTokenizer } from "../../src/session/load_tokenizer.ts";
import { engineOf, VOCAB } from "../engine/tiny.ts";
import { MODELS } from "../setup.ts";

const BOS = 1;
/** Documents whose tokens are their characters' codes, in pieces of 7; the fourth is one piece exactly. */
const TEXTS = ["a".repeat(20), "b", "c".repeat(33), "d".repeat(7)];
const corpus: Corpus = {
  documents: TEXTS.length,
  read: async (document, offset) => {
    const text = TEXTS[document] as string;
    return { text: text.slice(offset, offset + 7), next: offset + 7 < text.length ? offset + 7 : undefined };
  },
  encode: (text) => [...text].map((char) => (char.charCodeAt(0) * 7 + 3) % VOCAB),
  bos: BOS,
  seed: 5,
};
const ROUND = TEXTS.join("").length + TEXTS.length;

/** So many tokens, taken `most` at a time. */
async function taken(documents: Documents, count: number, most: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) ids.push(...(await documents.take(Math.min(most, count - ids.length))));
  return ids;
}

describe("documents", () => {
  test("come each once in a round, in an order of its own that the seed alone decides", () => {
    const orders = [0, 1, 2].map((round) => documentOrder(50, 3, round));
    for (const order of orders)
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(new Set(orders.map(String)).size).toBe(3);
    expect(documentOrder(50, 3, 1)).toEqual(orders[1] as number[]);
    expect(documentOrder(50, 4, 1)).not.toEqual(orders[1] as number[]);
    expect(documentOrder(1, 3, 9)).toEqual([0]);
  });

  test("every order of three is about equally frequent", () => {
    const counts = new Map<string, number>();
    for (let round = 0; round < 6000; round++) {
      const order = String(documentOrder(3, 1, round));
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test("are read whole, BOS first, round after round", async () => {
    const expected = [0, 1, 2].flatMap((round) =>
      documentOrder(TEXTS.length, corpus.seed, round).flatMap((i) => [BOS, ...corpus.encode(TEXTS[i] as string)]),
    );
    for (const most of [1, 3, 1000]) {
      const documents = new Documents(corpus);
      expect(await taken(documents, 3 * ROUND, most)).toEqual(expected);
      expect(documents.place).toEqual({ round: 3, done: 0, offset: 0, taken: 0 });
    }
  });

  test("go on from any place", async () => {
    const all = await taken(new Documents(corpus), 3 * ROUND, 1000);
    const documents = new Documents(corpus);
    for (let n = 0; n < 2 * ROUND; n++) {
      expect(await taken(new Documents(corpus, documents.place), 20, 4)).toEqual(all.slice(n, n + 20));
      await documents.take(1);
    }
  });

  test("without a token are refused", async () => {
    const none = new Documents({ ...corpus, bos: undefined, encode: () => [] });
    await expect(none.take(5)).rejects.toThrow("texts: expected at least one token, found none");
  });
});

describe("a stream", () => {
  const lengths = { length: 150, every: 40 };

  /** What a stream finds that is thrown away at every `restart`-th step and goes on from its last checkpoint. */
  async function found(restart: number, options = {}) {
    const engine = await engineOf("llama-gqa-tied", { observe: { nll: true }, nLocal: 16, maxSessions: 1, ...options });
    let stream = new Stream(engine, corpus, lengths);
    const ended: unknown[] = [];
    for (let steps = 1; !stream.done; steps++) {
      ended.push(...Object.entries(await stream.step()).filter(([, tally]) => tally));
      if (steps % restart !== 0) continue;
      const { snapshot, state } = stream.checkpoint();
      stream.dispose();
      stream = new Stream(engine, corpus, lengths, {
        snapshot,
        state: JSON.parse(JSON.stringify(state)) as StreamState,
      });
    }
    stream.dispose();
    return ended;
  }

  test("finds the same bits however it is interrupted and cut into steps", async () => {
    const whole = await found(Infinity);
    expect(whole.map((entry) => (entry as [string])[0])).toEqual([
      ...["interval", "round", "interval", "interval", "round", "interval"],
    ]);
    expect(await found(1)).toEqual(whole);
    expect(await found(7)).toEqual(whole);
    expect(await found(3, { chunkSize: 5 })).toEqual(whole);
  });

  test("counts every token but the first", async () => {
    const intervals = (await found(Infinity)).filter((entry) => (entry as [string])[0] === "interval");
    const tallies = intervals.map((entry) => (entry as [string, { tokens: number; nll: number }])[1]);
    expect(tallies.map(({ tokens }) => tokens)).toEqual([39, 40, 40, 30]);
    for (const tally of tallies) expect(mean({ ...tally, notFinite: 0 })).toBeWithin(3, 6);
  });

  test("does not go on from a snapshot of another position", async () => {
    const engine = await engineOf("llama-gqa-tied", { observe: { nll: true }, nLocal: 16, maxSessions: 1 });
    const stream = new Stream(engine, corpus, lengths);
    await stream.step();
    const { snapshot } = stream.checkpoint();
    await stream.step();
    const { state } = stream.checkpoint();
    stream.dispose();
    expect(() => new Stream(engine, corpus, lengths, { snapshot, state })).toThrow(
      /snapshot: expected one of \d+ tokens/,
    );
  });
});

describe("pieces of a file", () => {
  const directory = mkdtemp(join(tmpdir(), "lambent-pieces-"));
  const file = async (content: string | Uint8Array): Promise<TextFile> => {
    const path = join(await directory, "text.txt");
    await writeFile(path, content);
    return (await textFiles([path]))[0] as TextFile;
  };
  async function pieces(text: TextFile, most: number): Promise<string[]> {
    const all: string[] = [];
    for (let offset: number | undefined = 0; offset !== undefined; ) {
      const { text: piece, next } = await text.piece(offset, most);
      all.push(piece);
      offset = next;
    }
    return all;
  }

  test("are the whole text, cut between characters", async () => {
    const wide = `${"é日𝒳".repeat(50)}\n\uFEFF${"\n".repeat(30)}x${"é".repeat(50)}`;
    const text = await file(wide);
    for (let most = 8; most < 60; most++) expect((await pieces(text, most)).join("")).toBe(wide);
  });

  test("give the tokens of the whole, where there are lines of text", async () => {
    const tokenizer = await withCheckpoint(join(MODELS, "lambent-llama-5m"), {}, loadTokenizer);
    const encode = (text: string) => tokenizer?.encode(text, { addSpecialTokens: false }) ?? [];
    const prose = "It was late in the evening,\nand nobody was “there”.\n\nNo – nobody.\n  Or 12 of them…\n".repeat(60);
    const text = await file(prose);
    for (let most = 200; most < 230; most++) expect((await pieces(text, most)).flatMap(encode)).toEqual(encode(prose));
  });

  test.each(["\r\n", "\r"])("are never cut within a line end, and have LF for %j", async (end) => {
    const prose = `${end}It was late${end}${end}in the “evening”, ${end}`.repeat(9) + end.repeat(40);
    const text = await file(prose);
    for (let most = 8; most < 90; most++) {
      expect((await pieces(text, most)).join("")).toBe(prose.replaceAll(end, "\n"));
    }
    // Behind a line, as with LF.
    expect(
      (await pieces(await file(`a bc${end}def`.repeat(20)), 40)).every(
        (piece) => piece.startsWith("def") || piece.startsWith("a bc"),
      ),
    ).toBe(true);
  });

  test("name the byte where a file is no text, and a file that has shrunk", async () => {
    const bytes = Uint8Array.from({ length: 30 }, (_, i) => (i === 25 ? 0 : 97));
    await expect((await file(bytes)).piece(20, 8)).rejects.toThrow("expected UTF-8 text, found a zero at byte 25");
    const text = await file("a".repeat(30));
    await expect(text.piece(31, 8)).rejects.toThrow("expected more than 31 bytes of UTF-8 text, found 30");
    await file("é".repeat(15));
    await expect(text.piece(1, 8)).rejects.toThrow("expected the UTF-8 text that it was, found other bytes");
  });
});
