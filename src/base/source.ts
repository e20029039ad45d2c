/**
 * Bytes that can be read by range, wherever they are: a file, an HTTP server, an object store.
 * The runtime layer makes them, the format layer reads them, and neither knows the other.
 */
export interface ByteSource {
  /** What errors call it, a path or URL. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Differs from that of any other file and changes with this one's bytes; undefined where nobody can tell. */
  readonly version?: string;
  /** Fills `target` with the bytes from `offset` on; throws ModelError if the source ends before. */
  readInto(target: Uint8Array, offset: number): Promise<void>;
  close(): Promise<void>;
}

/** A directory of named files, such as a checkpoint. */
export interface Files {
  /** What errors call it, a path or URL. */
  readonly name: string;
  /** Opens `file`, a plain name or, for a shard in a folder, names with slashes between; undefined if there is none. */
  open(file: string): Promise<ByteSource | undefined>;
}
