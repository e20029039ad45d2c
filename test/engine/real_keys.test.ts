/** Middle keys of real heads: in models that read a novel, 10,000 queries and more choose those of the definition. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Attention, Op } from "../../assembly/op.ts";
import { load } from "../../src/entry/index.ts";
import { attentionOf } from "../../src/models/program.ts";
import { directory } from "../../src/sources/directory.ts";
import { middleOf } from "../reference/attention.ts";
import { type Coded, chooseMiddle, followedBy } from "../reference/recall.ts";
import { engineFrom, kernels, MODELS } from "../setup.ts";

setDefaultTimeout(600_000);

const TEXT = readFileSync(join(MODELS, "texts/austen-persuasion.txt"), "utf8").slice(5000, 40_000);
const GEMMA = join(process.env.LAMBENT_MODELS ?? "", "gemma-3-270m-q4_k_m.gguf");
const QUERIES = 10_000;
const POLICY = { nLocal: 64, nGlobal: 4, recall: 4, recallTokens: 512, recallBlocks: 4 };
/** As many rows as a step may read. */
const ROWS = 33;

test.each([
  ["RoPE of pairs side by side", join(MODELS, "lambent-gptj-6m"), 4],
  ["ALiBi", join(MODELS, "lambent-mpt-5m"), 4],
  ["RoPE of halves", join(MODELS, "lambent-llama-5m"), 4],
  ["four heads that share their keys", GEMMA, 17],
])("%s", async (_, path, layer) => {
  if (!existsSync(path)) return console.warn(`skipped: no ${path} (LAMBENT_MODELS names its folder)`);
  using model = await load(path, { threads: 1 });
  const ids = [...model.tokenizer.encode("")];
  for (let at = 0; at < TEXT.length; at += 5000) ids.push(...model.tokenizer.encode(TEXT.slice(at, at + 5000)));
  // The last layer, so that its queries are still there after a step.
  const files = path === GEMMA ? directory(dirname(path), basename(path)) : directory(path);
  const engine = await engineFrom(files, await kernels(), {
    ...POLICY,
    recallLayers: [layer],
    chunkSize: ROWS,
    maxSessions: 1,
  });
  const { cache } = engine.plan.layers[layer]!;
  const { heads, kvHeads, headDim } = attentionOf(engine.program, layer)!.shape;
  const { words } = engine.plan.records.flat().find(({ op, words }) => op === Op.Attention && words[Attention.recall])!;
  const { address } = engine.plan.chosen[0]!;
  const floats = (at: number, count: number) => engine.bank(0).floats(at, count);
  const session = engine.open(0, 1);
  const keys = Array.from({ length: kvHeads }, (): Float64Array[] => []);
  const codes = keys.map(() => new Map<number, Coded>());
  const chosen = Array.from({ length: heads }, (): number[][] => []);
  const choice = { k: POLICY.recall, blocks: POLICY.recallBlocks, nGlobal: POLICY.nGlobal };
  let compared = 0;
  for (let first = 0; compared < QUERIES; first += ROWS) {
    const rows = ids.slice(first, first + ROWS);
    expect(rows.length).toBe(ROWS);
    await engine.append(session, rows);
    const state = engine.state(session);
    for (const [kvHead, own] of keys.entries()) {
      for (let position = first; position < first + ROWS; position++) {
        const place = kvHead * cache.recallPlaces + (position % cache.recallPlaces);
        const bytes = engine.cacheBytes(state, layer, cache.parts.kvRecall + place * cache.headBytes, cache.headBytes);
        own.push(Float64Array.from(new Float32Array(bytes.slice().buffer)));
      }
    }
    const queries = floats(words[Attention.qRecall]!, ROWS * heads * headDim);
    const lists = new Uint32Array(floats(address, 2 * ROWS * heads * POLICY.recall).slice().buffer);
    for (let row = 0; row < ROWS; row++) {
      const position = first + row;
      const middle = middleOf({ policy: "lambda", ...POLICY }, position);
      if (middle[0] >= middle[1]) continue;
      for (let head = 0; head < heads; head++) {
        const at = row * heads + head;
        const query = Float64Array.from(queries.subarray(at * headDim, (at + 1) * headDim));
        const distances = [0, 1, 2, 3].map((i) => lists[2 * (at * POLICY.recall + i) + 1]!).filter((far) => far > 0);
        const kvHead = Math.floor((head * kvHeads) / heads);
        const followed = followedBy(position, (before) => chosen[head]![before] ?? []);
        const wanted = chooseMiddle(query, keys[kvHead]!, middle, { ...choice, followed }, 0, codes[kvHead]);
        chosen[head]![position] = wanted.positions;
        expect([position, head, ...distances.map((far) => position - far)]).toEqual([
          position,
          head,
          ...wanted.positions,
        ]);
        compared++;
      }
    }
  }
});
