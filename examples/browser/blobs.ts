import type { Files } from "lambent";

/** Blobs by name as the files of a model. */
export function filesFromBlobs(name: string, blobs: Readonly<Record<string, Blob>>): Files {
  return {
    name,
    async open(file) {
      const blob = blobs[file];
      return (
        blob && {
          name: `${name}/${file}`,
          size: blob.size,
          async readInto(target, offset) {
            target.set(new Uint8Array(await blob.slice(offset, offset + target.length).arrayBuffer()));
          },
          async close() {},
        }
      );
    },
  };
}
