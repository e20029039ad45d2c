/** Files of one thread, read by another. */

import { LambentError } from "../base/errors.ts";
import type { ByteSource, Files } from "../base/source.ts";
import type { Call, Handlers, Rpc } from "./rpc.ts";

interface RemoteSource {
  readonly handle: number;
  readonly name: string;
  readonly size: number;
  readonly version: string | undefined;
}

/** What the thread that has files, perhaps of several places, answers, and what it does once it is asked no more. */
export function serveFiles(places: readonly Files[]): { readonly handlers: Handlers; close(): void } {
  const sources = new Map<number, ByteSource>();
  let next = 0;
  let ended = false;
  const drop = (source: ByteSource) => (async () => source.close())().catch(() => {});
  const handlers = {
    listFiles: async (_: Call, place: number) => (await places[place]?.list?.()) ?? [],
    async openFile(_: Call, place: number, file: string): Promise<RemoteSource | undefined> {
      const source = await places[place]?.open(file);
      if (!source) return undefined;
      const handle = next++;
      if (ended) void drop(source);
      else sources.set(handle, source);
      return { handle, name: source.name, size: source.size, version: source.version };
    },
    async readFile(_: Call, handle: number, offset: number, length: number): Promise<Uint8Array> {
      const bytes = new Uint8Array(length);
      const source = sources.get(handle);
      if (!source) throw new LambentError("the file was closed");
      await source.readInto(bytes, offset);
      return bytes;
    },
    async closeFile(_: Call, handle: number): Promise<void> {
      const source = sources.get(handle);
      sources.delete(handle);
      await source?.close();
    },
  };
  const close = () => {
    ended = true;
    for (const source of sources.values()) void drop(source);
    sources.clear();
  };
  return { handlers, close };
}

/** What another thread is told of files; `place`: their number among those that are served. */
export interface RemoteFiles {
  readonly place: number;
  readonly files: string;
  readonly file: string | undefined;
}

/** The files, as the other thread sees them. */
export function remoteFiles({ place, files: name, file: model }: RemoteFiles, rpc: Rpc): Files {
  return {
    name,
    file: model,
    list: () => rpc.call<string[]>("listFiles", [place]),
    async open(file) {
      const source = await rpc.call<RemoteSource | undefined>("openFile", [place, file]);
      if (!source) return undefined;
      const { handle, name, size, version } = source;
      return {
        ...{ name, size, ...(version === undefined ? {} : { version }) },
        async readInto(target, offset) {
          target.set(await rpc.call<Uint8Array>("readFile", [handle, offset, target.length]));
        },
        close: () => rpc.call("closeFile", [handle]),
      };
    },
  };
}
