/**
 * Gemma 3 270M from its GGUF against transformers. The file is in the folder that LAMBENT_MODELS names (models-real/fetch.sh
 * of ../shared makes it), the goldens are in ../shared/models-real; neither may be part of the project. FULL=1 reads all
 * of the goldens and 8,192 tokens of a novel, which takes minutes.
 */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { scoreDocument } from "../../research/eval/nll.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { GREEDY } from "../../src/engine/sampler.ts";
import { detectHost } from "../../src/runtime/detect.ts";
import { provideRuntime } from "../../src/runtime/index.ts";
import { inspect, type LoadOptions, loadEngine, withCheckpoint } from "../../src/session/load.ts";
import { requireTokenizer } from "../../src/session/load_tokenizer.ts";
import { readSafetensors } from "../reference/safetensors.ts";
import { deviation, shared } from "../setup.ts";

provideRuntime(detectHost);
const file = join(process.env.LAMBENT_MODELS ?? "", "gemma-3-270m-q4_k_m.gguf");
const goldens = shared("models-real/gemma3-270m");
const there = goldens !== undefined && process.env.LAMBENT_MODELS !== undefined && existsSync(file);
if (!there)
  console.warn("skipped: Gemma 3 270M is not in the folder LAMBENT_MODELS, or its goldens are not provided here");

const FULL = process.env.FULL === "1";
const read = (name: string) => JSON.parse(readFileSync(join(goldens as string, name), "utf8"));
const open = (options: LoadOptions): Promise<Engine> =>
  withCheckpoint(file, {}, (checkpoint, runtime) =>
    loadEngine(checkpoint, runtime, { threads: 1, maxSessions: 2, ...options }),
  );

interface Span {
  readonly from: number;
  readonly to: number;
  readonly nll: number;
}

describe.skipIf(!there)("Gemma 3 270M", () => {
  test("every text of tokens.json, both ways", async () => {
    const tokenizer = await withCheckpoint(file, {}, requireTokenizer);
    for (const { text, ids } of read("tokens.json") as { text: string; ids: number[] }[]) {
      expect({ text, ids: tokenizer.encode(text, { addSpecialTokens: false }) }).toEqual({ text, ids });
      // ▁ and space are one.
      expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(text.replaceAll("▁", " "));
    }
  });

  test("weights expanded to f32: logits within 1e-3 · (1 + |logit|), 64 greedy ids wherever the margin exceeds 0.02", async () => {
    const engine = await open({ dtype: "f32", attention: "full", maxPositions: 2048 });
    const golden = readSafetensors(join(goldens as string, "logits.safetensors"));
    const data = (name: string) => [...(golden.get(name)?.data ?? [])];
    for (const prompt of FULL ? ["short", "long"] : ["short"]) {
      const ids = data(`${prompt}.ids`);
      const session = engine.open(0, 1);
      const found: number[] = [];
      // Only the stored positions want logits: the head is most of the model.
      for (const [i, position] of data(`${prompt}.positions`).entries()) {
        const next = i === 0 ? 0 : (data(`${prompt}.positions`)[i - 1] as number) + 1;
        if (next < position) await engine.append(session, ids.slice(next, position));
        await engine.forward(session, ids.slice(position, position + 1), (logits) => {
          found.push(...data("vocab_ids").map((id) => logits[id] as number));
        });
      }
      engine.dispose(session);
      expect(found).toHaveLength(12 * 4096);
      expect(deviation(found, data(`${prompt}.logits`))).toBeLessThan(1e-3);
    }
    const greedy = read("greedy.json") as { prompt: number[]; ids: number[]; margins: number[] }[];
    for (const { prompt, ids, margins } of FULL ? greedy : greedy.slice(0, 1)) {
      const session = engine.open(0, 1);
      await engine.append(session, prompt);
      for (const [i, id] of ids.entries()) {
        const { id: token } = await engine.next(session, GREEDY);
        if (token !== id && (margins[i] as number) <= 0.02) break;
        expect({ prompt: prompt.length, i, token }).toEqual({ prompt: prompt.length, i, token: id });
      }
      engine.dispose(session);
    }
  }, 600_000);

  test.skipIf(!FULL)(
    "as stored: the NLL of 8,192 tokens within 0.1 % of transformers' on the expanded weights",
    async () => {
      const { text, ids_sha256, spans } = read("nll.json");
      const archive = join(shared("text") as string, "heldout.tar.xz");
      const tar = Bun.spawnSync(["tar", "-xJOf", archive, "--wildcards", `*${text}`]);
      const tokenizer = await withCheckpoint(file, {}, requireTokenizer);
      const ids = tokenizer.encode(tar.stdout.toString().slice(0, 60_000)).slice(0, 8192);
      expect(
        createHash("sha256")
          .update(new Uint8Array(Int32Array.from(ids).buffer))
          .digest("hex"),
      ).toBe(ids_sha256);
      const engine = await open({ attention: "full", maxPositions: 8192, observe: { nll: true } });
      const all: number[] = [];
      await scoreDocument(engine, ids, [{ from: 1, to: ids.length }], (some) => void all.push(...some));
      for (const { from, to, nll } of spans as Span[]) {
        const found = all.slice(from - 1, to - 1).reduce((sum, one) => sum + one, 0) / (to - from);
        expect(Math.abs(found / nll - 1)).toBeLessThan(1e-3);
      }
    },
    600_000,
  );

  test("Λ at nLocal 4096 takes 41 MB of cache at any length, its windowed layers as they were trained", async () => {
    const { plan, program } = await inspect(file, {});
    expect(program.modelType).toBe("gemma3_text");
    expect(plan.windows).toEqual(Array.from({ length: 18 }, (_, i) => (i % 6 === 5 ? null : 512)));
    expect(plan.policy).toMatchObject({ attention: "lambda", nLocal: 4096, nGlobal: 10 });
    expect(plan.maxPositions).toBe(Infinity);
    // facts: kv heads · headDim · (2 · nLocal + 3 · nGlobal) f32 values per layer
    expect(plan.cacheBytes).toBe(15 * 256 * 2 * 512 * 4 + 3 * 256 * (2 * 4096 + 3 * 10) * 4);
  });
});
