import { ModelError, mismatch } from "../base/errors.ts";
import type { Files } from "../base/source.ts";
import { ForwardSource, sourceError, streamFlow } from "./forward.ts";
import { ggufName } from "./model_id.ts";

/** The part of an object store's binding that is needed; Cloudflare's R2Bucket has it. */
export interface Bucket {
  head(key: string): Promise<{ readonly size: number; readonly etag?: string } | null>;
  /** The object, whose `body` contains only the range. */
  get(
    key: string,
    options: { readonly range: { readonly offset: number; readonly length: number } },
  ): Promise<{ readonly size: number; readonly etag?: string; readonly body?: unknown } | null>;
}

/**
 * A model in an object store: the objects whose keys are `prefix`, a slash and a file's name, or the GGUF file whose key is
 * `prefix`. Read by ranges.
 *
 * @example
 * const model = await load(filesFromBucket(env.MODELS, "lambent-llama-5m"));
 */
export function filesFromBucket(bucket: Bucket, prefix = ""): Files {
  const ownFile = ggufName(prefix);
  const path = ownFile === undefined ? prefix : prefix.slice(0, -ownFile.length);
  const folder = path === "" || path.endsWith("/") ? path : `${path}/`;
  return {
    name: prefix || "bucket",
    file: ownFile,
    async open(file) {
      const key = folder + file;
      const head = await ask(key, bucket.head(key));
      if (!head) return undefined;
      const { size, etag } = head;
      return new ForwardSource(key, size, async (begin, end) => {
        const object = await ask(key, bucket.get(key, { range: { offset: begin, length: end - begin } }));
        if (!object?.body) throw new ModelError(mismatch(key, "an object with a body", object && "one without"));
        const body = object.body as ReadableStream<Uint8Array>;
        if (object.size === size && object.etag === etag) return streamFlow(body, key, begin, end);
        body.cancel().catch(() => {});
        throw new ModelError(mismatch(key, `the object of ${size} bytes that was opened`, "another one"));
      });
    },
  };
}

async function ask<T>(key: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw sourceError(key, error);
  }
}
