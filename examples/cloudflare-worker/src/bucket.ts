import { ModelError, type Files } from "lambent";
export function filesFromBucket(bucket: R2Bucket, prefix: string): Files {
  return { name: prefix, async open(file) {
    const key = `${prefix}/${file}`;
    const head = await bucket.head(key);
    if (!head) return undefined;
    return { name: key, size: head.size, async readInto(target, offset) {
      if (!target.length) return;
      const object = await bucket.get(key, { range: { offset, length: target.length } });
      const bytes = new Uint8Array(await object!.arrayBuffer());
      if (bytes.length !== target.length) throw new ModelError(`${key}: expected ${target.length}, found ${bytes.length}`);
      target.set(bytes);
    }, async close() {} };
  } };
}
