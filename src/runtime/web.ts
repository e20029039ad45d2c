/** What hosts without a file system share: models are read from where they are, and nothing is cached. */
import { mismatch, OptionError } from "../base/errors.ts";
import type { ByteSource, Files } from "../base/source.ts";
import { filesFromBlobs } from "../sources/blobs.ts";
import { foreignError, foreignFile, HUB, hubModelAt } from "../sources/model_id.ts";
import { fileAtUrl, filesFromUrl } from "../sources/url.ts";
import type { FindOptions } from "./types.ts";

/** A file at a URL; bundlers inline small ones as data URLs. */
export async function openOnWeb(url: URL): Promise<ByteSource | undefined> {
  if (url.protocol !== "data:") return fileAtUrl(url);
  return filesFromBlobs("data:", { file: await (await fetch(url)).blob() }).open("file");
}

/** A URL of a directory, in a page also a relative one, or a Hugging Face id, whose files are read from the hub. */
export async function findOnWeb(where: string, { revision, signal }: FindOptions): Promise<Files> {
  const model = hubModelAt(where, revision);
  if (model) {
    const { id, folder } = model;
    const path = [
      id,
      "resolve",
      encodeURIComponent(model.revision ?? "main"),
      ...folder.split("/").map(encodeURIComponent),
    ];
    return filesFromUrl([HUB, ...path].join("/"), { signal });
  }
  const relative = globalThis.location && /^\.{0,2}\//.test(where);
  if (relative || /^[a-z][a-z\d+.-]+:\/\//i.test(where)) return filesFromUrl(where, { signal });
  const foreign = foreignFile(where);
  if (foreign) throw foreignError(`${where} (${foreign})`);
  throw new OptionError(mismatch("model", "a URL or a Hugging Face id such as org/name", where));
}
