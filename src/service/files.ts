/** Files of one thread, read by another. */

import type { ByteSource, Files } from "../source.ts";
import type { Call, Handlers, Rpc } from "./rpc.ts";

interface RemoteSource {
  readonly handle: number;
  readonly name: string;
  readonly size: number;
  readonly version: string | undefined;
}

/** What the thread that has the files answers. */
export function filesHandlers(files: Files): Handlers {
  const sources = new Map<number, ByteSource>();
  let next = 0;
  return {
    async openFile(_: Call, file: string): Promise<RemoteSource | undefined> {
      const source = await files.open(file);
      if (!source) return undefined;
      const handle = next++;
      sources.set(handle, source);
      return { handle, name: source.name, size: source.size, version: source.version };
    },
    async readFile(_: Call, handle: number, offset: number, length: number): Promise<Uint8Array> {
      const bytes = new Uint8Array(length);
      await sources.get(handle)?.readInto(bytes, offset);
      return bytes;
    },
    async closeFile(_: Call, handle: number): Promise<void> {
      await sources.get(handle)?.close();
      sources.delete(handle);
    },
  };
}

/** The files, as the other thread sees them. */
export function remoteFiles(name: string, rpc: Rpc): Files {
  return {
    name,
    async open(file) {
      const source = await rpc.call<RemoteSource | undefined>("openFile", [file]);
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
