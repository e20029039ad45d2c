import type { Files } from "../base/source.ts";
import type { Appending } from "../engine/reading.ts";
import type { Choosing } from "../engine/sampler.ts";
import type { TextState } from "../engine/state.ts";
import type { Port } from "../runtime/types.ts";
import { type RemoteFiles, remoteFiles } from "./files.ts";
import type { LocalService } from "./local.ts";
import { type Call, Rpc } from "./rpc.ts";
import type { ChosenToken, EmbedOptions, EngineFacts, Opened, StartOptions } from "./types.ts";

/** What `load` answers: what its caller is to know, beside how the engine is. */
export interface Served<T> {
  readonly rest: T;
  readonly facts: EngineFacts;
  readonly threads: number;
}

/** Loads what a RemoteService asks for. */
export type Loader<T> = (
  places: readonly (string | Files)[],
  options: object,
  call: Call,
) => Promise<{ readonly service: LocalService; readonly rest: T }>;

/** What a call tells of its session before it is answered. */
export interface Told {
  readonly id: number;
  readonly threads: number;
  readonly length: number;
  readonly seed: number;
}

/** A token of a stream, and how its session is then. */
export interface ToldToken {
  readonly token: ChosenToken;
  readonly told: Told;
}

/** Serves one engine to whoever is at the other end: the other side of RemoteService. */
export function serveEngine<T>(port: Port, load: Loader<T>): void {
  let service: LocalService;
  const toldOf = (id: number): Told => {
    return { id, threads: service.threads, length: service.length(id), seed: service.seed(id) };
  };
  /** A call for a session, which tells how the session is then, also behind an error. */
  const of = <A extends readonly unknown[]>(work: (signal: AbortSignal, id: number, ...args: A) => unknown) => {
    return async (call: Call, id: number, ...args: A) => {
      try {
        return await work(call.signal, id, ...args);
      } finally {
        if (service.has(id)) call.tell(toldOf(id));
      }
    };
  };
  /** A call that opens a session, and tells how that is. */
  const opens = <A extends readonly unknown[]>(work: (signal: AbortSignal, ...args: A) => Promise<Opened>) => {
    return async (call: Call, ...args: A) => {
      const opened = await work(call.signal, ...args);
      call.tell(toldOf(opened.id));
      return opened;
    };
  };
  const rpc = new Rpc(port, {
    async load(call: Call, told: readonly (string | RemoteFiles)[], options: object): Promise<Served<T>> {
      const places = told.map((place) => (typeof place === "string" ? place : remoteFiles(place, rpc)));
      const loaded = await load(places, options, call);
      service = loaded.service;
      return { rest: loaded.rest, facts: service.facts, threads: service.threads };
    },
    open: opens((signal, start: StartOptions) => service.open({ ...start, signal })),
    restore: opens((signal, snapshot: Uint8Array, wait?: boolean) => service.restore(snapshot, { wait, signal })),
    fork: opens((signal, id: number, wait?: boolean) => service.fork(id, { wait, signal })),
    begin: of((_, ...args: Parameters<LocalService["begin"]>) => service.begin(...args)),
    append: of((signal, id, tokens: readonly number[], how?: Appending) => service.append(id, tokens, signal, how)),
    async generate({ wanted, tell }: Call, id: number): Promise<void> {
      while (await wanted()) {
        const token = await service.next(id);
        tell({ token, told: toldOf(id) } satisfies ToldToken);
      }
    },
    next: of((_, id, alone: Choosing, seed?: number) => service.next(id, alone, seed)),
    logits: (_: Call, id: number) => service.logits(id),
    recalled: (_: Call, id: number) => service.recalled(id),
    embed: ({ signal, tell }: Call, texts: readonly (readonly number[])[], options: EmbedOptions) =>
      service.embed(texts, { ...options, signal, onProgress: tell }),
    snapshot: (_: Call, id: number, text: TextState, pending: boolean) => service.snapshot(id, text, pending),
    forget: (_: Call, snapshot: Uint8Array) => service.forget(snapshot),
    dispose: (_: Call, id: number) => service.dispose(id),
    memory: () => service.memory(),
  });
}
