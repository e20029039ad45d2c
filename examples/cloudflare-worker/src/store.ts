/** Stories in a bucket: one object each, its snapshot and behind it the end of its text, so that both change at once. */
import { Refusal } from "./request.ts";

/** Characters of a story that are kept to be shown; the model itself needs none of them. */
const KEPT = 262_144;

export interface Story {
  readonly snapshot: Uint8Array;
  readonly text: string;
  /** Tokens. */
  readonly length: number;
  readonly etag: string;
}

/** Throws Refusal if there is none. */
export async function readStory(bucket: R2Bucket, id: string): Promise<Story> {
  const object = await bucket.get(id);
  if (!object) throw new Refusal(404, `story ${id}: expected one that was begun, found none`);
  const bytes = new Uint8Array(await object.arrayBuffer());
  const { length, snapshotBytes } = object.customMetadata ?? {};
  return {
    snapshot: bytes.subarray(0, Number(snapshotBytes)),
    text: new TextDecoder().decode(bytes.subarray(Number(snapshotBytes))),
    length: Number(length),
    etag: object.etag,
  };
}

/** Keeps a story; one that was read before, only if nobody else has changed it since. Throws Refusal if somebody has. */
export async function writeStory(
  bucket: R2Bucket,
  id: string,
  { snapshot, text, length, etag }: Omit<Story, "etag"> & { readonly etag: string | undefined },
): Promise<void> {
  const kept = new Blob([snapshot, text.slice(-KEPT).toWellFormed()]);
  const customMetadata = { length: `${length}`, snapshotBytes: `${snapshot.length}` };
  const put = await bucket.put(id, kept, etag ? { customMetadata, onlyIf: { etagMatches: etag } } : { customMetadata });
  if (!put) throw new Refusal(409, `story ${id}: expected it as it was read, found it changed or deleted meanwhile`);
}
