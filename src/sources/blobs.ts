import { mismatch, OptionError } from "../base/errors.ts";
import type { ByteSource, Files } from "../base/source.ts";
import { ForwardSource, streamFlow } from "./forward.ts";

const CONFIG = "config.json";

/**
 * A model in a browser's files: those of an `<input type="file" webkitdirectory>`, of a folder that was dropped, a GGUF
 * file, or any blobs by name. Of several folders the one with config.json counts.
 *
 * @example
 * const model = await load(filesFromBlobs("my model", input.files));
 * @throws OptionError where several folders hold a config.json.
 */
export function filesFromBlobs(name: string, blobs: Iterable<File> | Readonly<Record<string, Blob>>): Files {
  const byName = Symbol.iterator in blobs ? oneFolder(name, [...(blobs as Iterable<File>)]) : blobs;
  const files = new Map<string, Blob>(Object.entries(byName));
  return {
    name,
    list: async () => [...files.keys()],
    async open(file) {
      const blob = files.get(file);
      return blob && blobSource(`${name}/${file}`, blob);
    },
  };
}

/** The files of the folder that holds config.json, by their plain names; all of them if none does. */
function oneFolder(name: string, files: readonly File[]): Record<string, Blob> {
  const folderOf = ({ webkitRelativePath: path = "" }: File) => path.slice(0, path.lastIndexOf("/") + 1);
  const folders = files.filter((file) => file.name === CONFIG).map(folderOf);
  if (folders.length > 1) throw new OptionError(mismatch(name, `one folder with ${CONFIG}`, folders.join(", ")));
  const own = folders.length ? files.filter((file) => folderOf(file) === folders[0]) : files;
  return Object.fromEntries(own.map((file) => [file.name, file]));
}

function blobSource(name: string, blob: Blob): ByteSource {
  return new ForwardSource(name, blob.size, async (begin, end) => {
    return streamFlow(blob.slice(begin, end).stream() as ReadableStream<Uint8Array>, name, begin, end);
  });
}
