import { mismatch, OptionError } from "../base/errors.ts";
import type { ByteSource, Files } from "../base/source.ts";
import { decode, shown } from "./address.ts";
import { Client, type Fetch, HubError, TIMING } from "./hub_client.ts";
import { folderOf, ggufName } from "./model_id.ts";
import { type Site, UrlFile } from "./url_file.ts";

/** How files at a URL are requested. */
export interface UrlOptions {
  /** Used in place of the global fetch; for example that of a service binding. */
  readonly fetch?: Fetch | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Sent with every request, but to no other origin. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * A directory on an HTTP server, such as `https://example.com/models/small/`, or one of the files in it, such as a GGUF
 * file. A query, which may
 * be a signature, goes along to every file; credentials become an Authorization header. Files are read by ranges where
 * the server gives them, else as one stream each, and nothing is kept; what breaks off goes on where it broke.
 *
 * A file is not there where the server says so (404, 410), answers 400 or 403, as object stores do that do not tell, or
 * sends nothing (204) or a web page; for config.json and the weights all but the first are errors.
 *
 * @example
 * const model = await load(filesFromUrl("https://example.com/models/small/"));
 * @throws OptionError for what is no address of a directory.
 */
export function filesFromUrl(url: string | URL, options: UrlOptions = {}, timing = TIMING): Files {
  const { base, name, file } = directoryAt(url, options);
  const directory = new UrlDirectory(base, name, siteAt(base, options, timing));
  return { name, file, open: (wanted) => directory.open(wanted) };
}

class UrlDirectory {
  /** The refusals of files that may or may not exist. */
  readonly #refused = new Map<string, string>();
  /** Whether there was any other answer. */
  #told = false;

  constructor(
    private readonly base: URL,
    private readonly name: string,
    private readonly site: Site,
  ) {}

  async open(file: string): Promise<ByteSource | undefined> {
    const source = await this.#ask(file);
    if (!source) await this.#require(file);
    return source;
  }

  async #ask(file: string): Promise<ByteSource | undefined> {
    const address = new URL(this.base);
    address.pathname += file.split("/").map(encodeURIComponent).join("/");
    const found = await new UrlFile(this.site, address.href, this.#nameOf(file)).open();
    if ("absent" in found && !found.certain) this.#refused.set(file, found.absent);
    else this.#told = true;
    return "absent" in found ? undefined : found;
  }

  /**
   * Throws HubError if the server refused a required file; of a single file and an index, if it refused one that may
   * exist.
   */
  async #require(file: string): Promise<void> {
    const needed = file === CONFIG || (file !== WEIGHTS && /\.(safetensors|gguf)$/i.test(file));
    const culprit = (file === INDEX ? [INDEX, WEIGHTS] : needed ? [file] : []).find((one) => this.#refused.has(one));
    if (!culprit) return;
    for (const other of [WEIGHTS, INDEX, TOKENIZER]) if (!this.#told) await (await this.#ask(other))?.close();
    const why = this.#refused.get(culprit);
    if (this.#told)
      throw new HubError(mismatch(this.#nameOf(culprit), "the file", `${why}: there is none, or no access to it`));
    const all = `${why} for every file: no access (check the address, its signature or credentials), or no model there`;
    throw new HubError(mismatch(this.name, "a directory of files that may be read", all));
  }

  #nameOf(file: string): string {
    return `${this.name.replace(/\/$/, "")}/${file}`;
  }
}

/** One file at a URL; undefined if the server says that it does not exist. */
export async function fileAtUrl(url: URL, options: UrlOptions = {}): Promise<ByteSource | undefined> {
  const found = await new UrlFile(siteAt(url, options, TIMING), url.href, shown(url)).open();
  if (!("absent" in found)) return found;
  if (found.certain) return undefined;
  throw new HubError(mismatch(shown(url), "the file", found.absent));
}

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const TOKENIZER = "tokenizer.json";

/** The directory at an address, its name in errors, and the GGUF file in it that the address names. */
function directoryAt(url: string | URL, { fetch }: UrlOptions): { base: URL; name: string; file: string | undefined } {
  const page = globalThis.location?.href;
  const base = URL.canParse(url, page) ? new URL(url, page) : undefined;
  // A caller's own fetch, or a page with another scheme, may support other addresses.
  const schemes = ["http:", "https:", globalThis.location?.protocol];
  if (!base || (!fetch && !schemes.includes(base.protocol)))
    throw new OptionError(mismatch("url", "an http or https address", shown(url)));
  const name = folderOf(shown(url));
  const file = ggufName(base.pathname);
  base.hash = "";
  base.pathname = folderOf(base.pathname);
  if (!/(?:\/|%2F)$/i.test(base.pathname)) base.pathname += "/";
  return { base, name, file: file && decode(file) };
}

function siteAt(base: URL, { signal, fetch, headers }: UrlOptions, timing: typeof TIMING): Site {
  const client = new Client(base.href, undefined, signal ?? new AbortController().signal, timing, { fetch, headers });
  return { client, ranges: true, running: new Set() };
}
