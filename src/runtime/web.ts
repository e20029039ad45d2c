/** What hosts without files share: models are read from where they are, and nothing is kept. */
import { mismatch, OptionError } from "../errors.ts";
import type { ByteSource, Files } from "../source.ts";
import { filesFromBlobs } from "./blobs.ts";
import { hubIdOf, isModelId } from "./model_id.ts";
import type { FindOptions } from "./types.ts";
import { filesFromUrl } from "./url.ts";

/** A file at a URL; bundlers put small ones into their URLs. */
export async function openOnWeb(url: URL): Promise<ByteSource | undefined> {
  if (url.protocol !== "data:") return filesFromUrl(new URL(".", url)).open(url.href);
  return filesFromBlobs("data:", { file: await (await fetch(url)).blob() }).open("file");
}

/** A URL of a directory, relative to `base` if there is one, or a Hugging Face id, whose files are read from the hub. */
export async function findOnWeb(where: string, { revision = "main", signal }: FindOptions): Promise<Files> {
  const id = hubIdOf(where) ?? (isModelId(where) ? where : undefined);
  if (id) return filesFromUrl(`https://huggingface.co/${id}/resolve/${encodeURIComponent(revision)}/`, { signal });
  if (URL.canParse(where)) return filesFromUrl(where, { signal });
  throw new OptionError(mismatch("model", "a URL or a Hugging Face id such as org/name", where));
}
