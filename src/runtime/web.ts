/** What hosts without a file system share: models are read from where they are, and nothing is cached. */
import { mismatch, OptionError } from "../base/errors.ts";
import { type ByteSource, type Files, withFile } from "../base/source.ts";
import { chooseGguf } from "../formats/gguf_choice.ts";
import { filesFromBlobs } from "../sources/blobs.ts";
import { findRevision } from "../sources/hub_api.ts";
import { Client, TIMING } from "../sources/hub_client.ts";
import { foreignError, foreignFile, HUB, type HubModel, hubModelAt } from "../sources/model_id.ts";
import { fileAtUrl, filesFromUrl } from "../sources/url.ts";
import type { FindOptions } from "./types.ts";

/** A file at a URL; bundlers inline small ones as data URLs. */
export async function openOnWeb(url: URL): Promise<ByteSource | undefined> {
  if (url.protocol !== "data:") return fileAtUrl(url);
  return filesFromBlobs("data:", { file: await (await fetch(url)).blob() }).open("file");
}

/**
 * A URL of a directory or a GGUF file, in a page also a relative one, or a Hugging Face id, whose files are read from the
 * hub.
 */
export async function findOnWeb(where: string, options: FindOptions): Promise<Files> {
  const { file, signal } = options;
  const model = hubModelAt(where, options);
  if (model) return onHub(model, signal ?? new AbortController().signal);
  const relative = globalThis.location && /^\.{0,2}\//.test(where);
  if (relative || /^[a-z][a-z\d+.-]+:\/\//i.test(where)) return withFile(filesFromUrl(where, { signal }), file);
  const foreign = foreignFile(where);
  if (foreign) throw foreignError(`${where} (${foreign})`);
  throw new OptionError(mismatch("model", "a URL or a Hugging Face id such as org/name", where));
}

/** The files of a model on the hub, whose names are asked for only where they matter. */
async function onHub({ id, revision = "main", folder, file, quantization }: HubModel, signal: AbortSignal) {
  const path = [id, "resolve", encodeURIComponent(revision), ...folder.split("/").map(encodeURIComponent)];
  const files = filesFromUrl([HUB, ...path].join("/"), { signal });
  const prefix = folder && `${folder}/`;
  const list = async () => {
    const { files: names = new Set<string>() } = await findRevision(
      new Client(HUB, undefined, signal, TIMING),
      id,
      revision,
      "config.json",
    );
    return [...names].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  };
  const chosen = quantization === undefined ? file : chooseGguf(await list(), { quantization }, id);
  return { name: files.name, file: chosen, open: (name: string) => files.open(name), list };
}
