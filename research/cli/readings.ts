import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ModelError } from "../../src/base/errors.ts";
import { writeWhole } from "../../src/cli/files.ts";
import type { Stages } from "../../src/cli/progress.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { dtypesOf, restoreSnapshot, takeSnapshot } from "../../src/engine/snapshot.ts";
import { NO_TEXT } from "../../src/engine/state.ts";
import { present } from "../../src/store/new_files.ts";

/** Tokens that are read between two reports. */
const PIECE = 1024;
/** Tokens that an interrupted reading may lose. */
export const KEPT = 64 * PIECE;

/**
 * Sessions that have read some tokens, read once for all ways of asking them that keep the same middle tokens: a snapshot is
 * kept in memory or, if sessions have a log in a folder, in that.
 */
export class Readings {
  readonly #ids: readonly number[];
  readonly #stages: Stages;
  readonly #signal: AbortSignal;
  #last: { readonly name: string; readonly snapshot: Uint8Array } | undefined;

  constructor(ids: readonly number[], stages: Stages, signal: AbortSignal) {
    this.#ids = ids;
    this.#stages = stages;
    this.#signal = signal;
  }

  /** A session that has read them without looking back; `way`: what the reading is called. */
  async session(engine: Engine, way: string, folder?: string): Promise<number> {
    const ids = this.#ids;
    const name = nameOf(engine, ids);
    const path = folder === undefined ? undefined : join(folder, name);
    const kept = this.#last?.name === name ? this.#last.snapshot : path && (await present(readFile(path)));
    const session = kept ? await restored(engine, kept, path, this.#signal) : engine.open(0, 0);
    try {
      for (let at = engine.state(session).position; at < ids.length; ) {
        const next = Math.min(at + PIECE, ids.length);
        await engine.append(session, ids.slice(at, next), this.#signal, { recall: false });
        this.#stages.update(`reading under ${way}`, next, ids.length);
        at = next;
        if (path !== undefined && (at % KEPT === 0 || at === ids.length)) {
          await writeWhole(path, await takeSnapshot(engine, engine.state(session), NO_TEXT));
        }
      }
      if (path === undefined && !kept && engine.plan.policy.recall > 0) {
        this.#last = { name, snapshot: await takeSnapshot(engine, engine.state(session), NO_TEXT) };
      }
    } catch (error) {
      engine.dispose(session);
      throw error;
    }
    return session;
  }
}

/** The session of a snapshot. Throws ModelError, with the name of its file, for one that cannot be gone on with. */
async function restored(
  engine: Engine,
  kept: Uint8Array,
  path: string | undefined,
  signal: AbortSignal,
): Promise<number> {
  try {
    return (await restoreSnapshot(engine, kept, signal)).id;
  } catch (error) {
    if (path === undefined || !(error instanceof ModelError)) throw error;
    throw new ModelError(`${path}: ${error.message}; without this file the text is read anew`, { cause: error });
  }
}

/** Of what a snapshot depends on. */
function nameOf(engine: Engine, ids: readonly number[]): string {
  const { attention, nGlobal, nLocal, limit, recallLayers, recallTokens } = engine.plan.policy;
  const policy = { attention, nGlobal, nLocal, limit, recallLayers, recallTokens };
  const formats = { cacheDtype: engine.plan.options.cacheDtype, dtype: dtypesOf(engine) };
  const all = [`${engine.modelHash}`, { ...policy, ...formats }, ids];
  return `${createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 16)}.snapshot`;
}
