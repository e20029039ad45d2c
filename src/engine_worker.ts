import { type Loaded, type LoadOptions, type LoadProgress, loadLocally } from "./load.ts";
import type { TokenizerTexts } from "./load_tokenizer.ts";
import type { LocalService } from "./local_service.ts";
import { remoteFiles } from "./remote_files.ts";
import { type Call, Rpc } from "./rpc.ts";
import type { Port, Runtime } from "./runtime/types.ts";
import type { Sampling } from "./sampler.ts";
import type { EngineFacts } from "./service.ts";
import type { TextState } from "./snapshot.ts";

/** What `load` answers: everything of a model that is not its engine. */
export interface Served extends Omit<Loaded, "service" | "tokenizer"> {
  readonly texts: TokenizerTexts;
  readonly facts: EngineFacts;
  readonly threads: number;
}

/** What a call tells of its session before it is answered; undefined where there is none any more. */
export interface Told {
  readonly id: number;
  readonly threads: number;
  readonly length: number;
  readonly seed: number;
}

/** Serves one engine to whoever is at the other end: the worker's side of RemoteService. */
export function serveEngine(runtime: Promise<Runtime>, port: Port): void {
  let service: LocalService;
  const told = ({ tell }: Call, id: number) => {
    tell({ id, threads: service.threads, length: service.length(id), seed: service.seed(id) } satisfies Told);
  };
  /** A call for a session, which tells how the session is then, also behind an error. */
  const of = <A extends readonly unknown[]>(work: (signal: AbortSignal, id: number, ...args: A) => unknown) => {
    return async (call: Call, id: number, ...args: A) => {
      try {
        return await work(call.signal, id, ...args);
      } finally {
        if (service.has(id)) told(call, id);
      }
    };
  };
  const rpc = new Rpc(port, {
    async load(call: Call, where: string | { readonly files: string }, options: LoadOptions): Promise<Served> {
      const files = typeof where === "string" ? where : remoteFiles(where.files, rpc);
      const onProgress = (progress: LoadProgress) => call.tell(progress);
      const loaded = await loadLocally(files, { ...options, onProgress, signal: call.signal }, await runtime);
      service = loaded.service;
      const { name, config, generationConfig, texts, runtime: host } = loaded;
      const { facts, threads } = service;
      return { name, runtime: host, config, generationConfig, texts, facts, threads };
    },
    async open(call: Call, startPosition?: number, seed?: number) {
      const opened = await service.open(startPosition, seed);
      told(call, opened.id);
      return opened;
    },
    async restore(call: Call, snapshot: Uint8Array) {
      const opened = await service.restore(snapshot);
      told(call, opened.id);
      return opened;
    },
    fork: async (call: Call, id: number) => {
      const opened = await service.fork(id);
      told(call, opened.id);
      return opened;
    },
    begin: of((_, id, seed: number | undefined) => service.begin(id, seed)),
    append: of((signal, id, tokens: readonly number[]) => service.append(id, tokens, signal)),
    next: of((_, id, sampling: Sampling) => service.next(id, sampling)),
    logits: (_: Call, id: number) => service.logits(id),
    snapshot: (_: Call, id: number, text: TextState) => service.snapshot(id, text),
    dispose: (_: Call, id: number) => service.dispose(id),
  });
}
