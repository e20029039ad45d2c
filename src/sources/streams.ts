import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import type { ByteSource, Files } from "../base/source.ts";
import { ForwardSource, sourceError, streamFlow } from "./forward.ts";

/** A file of `size` bytes as a stream: one that can be opened again from the first byte, or a single one. */
export type StreamedFile =
  | { readonly size: number; open(): ReadableStream<Uint8Array> | Promise<ReadableStream<Uint8Array>> }
  | { readonly size: number; readonly stream: ReadableStream<Uint8Array> };

/**
 * A model whose files come as streams, by name. They are read forward, weights straight into their place. A `stream` is
 * read once, which is enough where matrices stay as they are stored; to quantise them while loading takes `open`.
 *
 * @example
 * const model = await load(filesFromStreams("mine", {
 *   "config.json": { size: config.size, open: () => config.stream() },
 *   "tokenizer.json": { size: tokenizer.size, open: () => tokenizer.stream() },
 *   "model.safetensors": { size: 12345678, stream: response.body },
 * }));
 */
export function filesFromStreams(name: string, files: Readonly<Record<string, StreamedFile>>): Files {
  return {
    name,
    list: async () => Object.keys(files),
    async open(file) {
      const streamed = Object.hasOwn(files, file) ? files[file] : undefined;
      return streamed && streamSource(`${name}/${file}`, streamed);
    },
  };
}

function streamSource(name: string, file: StreamedFile): ByteSource {
  const { size } = file;
  if (!Number.isSafeInteger(size) || size < 0) throw new OptionError(mismatch(`${name}: size`, "bytes", size));
  return new ForwardSource(name, size, async (begin) => {
    if ("stream" in file && file.stream.locked) {
      const expected = "open(), which gives the stream from its first byte on again";
      throw new ModelError(mismatch(name, expected, `one stream, read already, and byte ${begin} asked for`));
    }
    try {
      return streamFlow("open" in file ? await file.open() : file.stream, name, 0, size);
    } catch (error) {
      throw sourceError(name, error);
    }
  });
}
