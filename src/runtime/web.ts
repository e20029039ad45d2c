/** What hosts without files share: models are read from where they are, and nothing is kept. */
import { mismatch, OptionError } from "../errors.ts";
import type { Files } from "../source.ts";
import { hubIdOf, isModelId } from "./model_id.ts";
import type { FindOptions } from "./types.ts";
import { webDirectory } from "./url.ts";

/** A URL of a directory, relative to `base` if there is one, or a Hugging Face id, whose files are read from the hub. */
export async function findOnWeb(where: string, { revision = "main", signal }: FindOptions): Promise<Files> {
  const id = hubIdOf(where) ?? (isModelId(where) ? where : undefined);
  if (id)
    return webDirectory(`https://huggingface.co/${id}/resolve/${encodeURIComponent(revision)}/`, undefined, signal);
  if (URL.canParse(where)) return webDirectory(where, undefined, signal);
  throw new OptionError(mismatch("model", "a URL or a Hugging Face id such as org/name", where));
}
