import { type Embedding, embed } from "../engine/embed.ts";
import type { Engine } from "../engine/engine.ts";

/** Texts to embed, and what is needed for it. */
export interface EmbeddingJob extends Embedding {
  readonly engine: Engine;
  /** Token ids, at least one each. */
  readonly texts: readonly (readonly number[])[];
  /** Opens another session if one is free. */
  readonly another: () => number | undefined;
  readonly dispose: (id: number) => void;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The vectors f32[texts, dimensions] of texts. Each is read in a session of its own, as many at once as fill a step,
 * since more would take memory and save no time. `first`: a session that is open; all are disposed of at the end.
 */
export async function embedAll(job: EmbeddingJob, first: number): Promise<Float32Array<ArrayBuffer>> {
  const { engine, texts, dimensions: width, another, dispose, onProgress, signal } = job;
  const vectors = new Float32Array(texts.length * width);
  let [next, done, underWay, failed] = [0, 0, 0, false];
  const lane = async (id: number): Promise<void> => {
    try {
      while (next < texts.length && !failed) {
        const index = next++;
        const tokens = texts[index] as readonly number[];
        underWay += tokens.length;
        if (next < texts.length && underWay < engine.plan.chunkSize) widen();
        vectors.set(await embed(engine, id, tokens, job, signal), index * width);
        underWay -= tokens.length;
        onProgress?.(++done, texts.length);
      }
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      dispose(id);
    }
  };
  const lanes: Promise<void>[] = [];
  const start = (id: number) => {
    const started = lane(id);
    // Another one may be waited for when it fails: unheard, its error would end a worker.
    started.catch(() => {});
    lanes.push(started);
  };
  const widen = () => {
    const id = another();
    if (id !== undefined) start(id);
  };
  start(first);
  // Lanes may open others while they are waited for; all have ended, so every slot is free, before an error is told.
  for (let i = 0; i < lanes.length; i++) await Promise.allSettled([lanes[i]]);
  await Promise.all(lanes);
  return vectors;
}
