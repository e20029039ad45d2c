import { show } from "../base/errors.ts";
import type { LoadOptions } from "../session/load.ts";
import { load } from "../session/model.ts";
import type { SessionStore } from "../store/store.ts";
import type { BatchRequest } from "./batch_lines.ts";
import type { Outcome } from "./batch_results.ts";
import { pinnedTokens, serverModule } from "./serving.ts";
import { warn } from "./streams.ts";

/** What answers requests of a batch. */
export interface Answering {
  /** Requests that it works on at once. */
  readonly most: number;
  answer(request: BatchRequest): Promise<Outcome>;
  close(): void;
}

/** A model that answers a batch; plain data but for the loading's signal and progress. */
export interface BatchModel {
  readonly where: string;
  readonly names: readonly string[];
  readonly loading: LoadOptions;
  readonly parallel: number;
  readonly maxNewTokens: number;
  readonly chatTemplate?: string | undefined;
}

/** Where answers are kept while they are written, and how often. */
export interface Keeping {
  readonly answers: SessionStore;
  readonly answerSeconds: number;
}

/** Loads it into this process; `signal` ends what is being answered. */
export async function answerHere(model: BatchModel, signal?: AbortSignal, keeping?: Keeping) {
  const { where, names, parallel, maxNewTokens, chatTemplate } = model;
  const { createServer } = await serverModule("batch", ["hono", "zod"]);
  const loading = { ...model.loading, signal, maxSessions: parallel };
  const loaded = await load(where, { worker: false, ...loading, nGlobal: await pinnedTokens(where, loading) });
  // Without limits that another run might meet elsewhere.
  const server = createServer(Object.fromEntries(names.map((name) => [name, loaded])), {
    ...{ maxSessions: parallel, maxNewTokens, chatTemplate, ...keeping },
    ...{ maxSeconds: Infinity, maxBodyBytes: Number.MAX_SAFE_INTEGER, maxResponses: 1 },
    log: (entry) => "status" in entry && entry.status === 500 && warn(show(entry.error), "internal error: "),
  });
  return {
    warnings: loaded.warnings,
    most: parallel,
    async answer({ url, body }: BatchRequest): Promise<Outcome> {
      const init = { method: "POST", body: JSON.stringify(body), ...(signal ? { signal } : {}) };
      const response = await server.fetch(new Request(`http://localhost${url}`, init));
      const outcome = { status: response.status, body: await response.json() };
      signal?.throwIfAborted();
      return outcome;
    },
    close: () => loaded.dispose(),
  };
}
