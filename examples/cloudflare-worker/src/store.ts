/** Stories in a bucket: one object each, the snapshot followed by the end of the text, so that both change together. */
import { Refusal } from "./request.ts";

/** Characters of a story that are kept for display; the model needs none of them. */
const KEPT = 100_000;

export interface Story {
  readonly snapshot: Uint8Array<ArrayBuffer>;
  readonly text: string;
  /** Tokens. */
  readonly length: number;
}

/** A story as it was read, with its etag. */
export type StoredStory = Story & Pick<R2Object, "etag">;

/** Throws Refusal if there is none. */
export async function readStory(bucket: R2Bucket, id: string): Promise<StoredStory> {
  const object = required(id, await bucket.get(id));
  const { length, snapshotBytes } = numbersOf(object);
  const bytes = new Uint8Array(await object.arrayBuffer());
  const text = new TextDecoder().decode(bytes.subarray(snapshotBytes));
  return { snapshot: bytes.subarray(0, snapshotBytes), text, length, etag: object.etag };
}

/** A story as the API returns it. Throws Refusal if there is none. */
export async function readText(bucket: R2Bucket, id: string): Promise<Omit<Story, "snapshot">> {
  const head = required(id, await bucket.head(id));
  const { length, snapshotBytes: offset } = numbersOf(head);
  if (head.size === offset) return { length, text: "" };
  const text = await required(id, await bucket.get(id, { range: { offset } })).text();
  return { length, text };
}

/**
 * Stores a story and releases its snapshot. Throws Refusal if the story was read before and has changed since.
 */
export async function writeStory(bucket: R2Bucket, id: string, story: Story, before?: StoredStory): Promise<void> {
  const text = new TextEncoder().encode(story.text.slice(-KEPT));
  const { length, snapshot } = story;
  const customMetadata = { length: `${length}`, snapshotBytes: `${snapshot.length}` };
  const bytes = new Uint8Array(snapshot.length + text.length);
  bytes.set(snapshot);
  bytes.set(text, snapshot.length);
  release(snapshot);
  const unchanged = before && { onlyIf: { etagMatches: before.etag } };
  const put = await bucket.put(id, bytes, { customMetadata, ...unchanged });
  release(bytes);
  if (!put) throw new Refusal(409, `story ${id}: expected it as it was read, found it changed or deleted`);
}

/** Frees the memory of bytes immediately: garbage that is not collected yet counts against the isolate's 128 MB. */
export function release(bytes: Uint8Array<ArrayBuffer>): void {
  bytes.buffer.transfer(0);
}

function required<T>(id: string, object: T | null): T {
  if (object) return object;
  throw new Refusal(404, `story ${id}: expected one that exists, found none`);
}

function numbersOf({ customMetadata }: R2Object): { length: number; snapshotBytes: number } {
  return { length: Number(customMetadata?.length), snapshotBytes: Number(customMetadata?.snapshotBytes) };
}
