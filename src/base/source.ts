import { mismatch, OptionError } from "./errors.ts";

/**
 * Bytes that can be read by range, wherever they are: a file, an HTTP server, an object store. `sources` makes them,
 * `formats` reads them, and neither knows the other.
 */
export interface ByteSource {
  /** Its name in errors: a path or URL. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Identifies the content: differs between files, and changes with the bytes; undefined if unknown. */
  readonly version?: string;
  /** Fills `target` with the bytes from `offset` on; throws ModelError if the source ends first. */
  readInto(target: Uint8Array, offset: number): Promise<void>;
  close(): Promise<void>;
}

/** A directory of named files, such as a checkpoint. */
export interface Files {
  /** Its name in errors: a path or URL. */
  readonly name: string;
  /** The GGUF file that is the model, the first one of a split set; by default the directory is the model. */
  readonly file?: string | undefined;
  /** The names of its files, where they can be listed. */
  list?(): Promise<readonly string[]>;
  /**
   * Opens `file`, a plain name or, for a shard in a subfolder, a relative path with slashes; undefined if it does not
   * exist.
   */
  open(file: string): Promise<ByteSource | undefined>;
}

/** The same files, of which the GGUF file `file`, if given, is meant. Throws OptionError if they mean another one. */
export function withFile(files: Files, file: string | undefined): Files {
  const { name, file: own, list } = files;
  if (file === undefined || file === own) return files;
  if (own !== undefined) throw new OptionError(mismatch("file", `${own}, which was named, or none`, file));
  return { name, file, open: (wanted) => files.open(wanted), ...(list ? { list: () => list.call(files) } : {}) };
}

/** Identifies the content of all of them together; undefined if unknown for one. */
export function versionOf(sources: readonly { readonly version?: string | undefined }[]): string | undefined {
  const versions = sources.map(({ version }) => version);
  return versions.includes(undefined) ? undefined : versions.join(" ");
}

/** Closes all of them; throws the first error after all have been tried. */
export async function closeAll(sources: readonly Pick<ByteSource, "close">[]): Promise<void> {
  const results = await Promise.allSettled(sources.map((source) => source.close()));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
