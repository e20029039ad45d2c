/** What the name of a model may be: a Hugging Face id, an address on the hub, one of a model's files. */
import { mismatch, OptionError } from "../base/errors.ts";
import { decode, shown } from "./address.ts";

/** The address of the hub. */
export const HUB = "https://huggingface.co";

/** A model on the hub, at the root of a repository or in a folder of it. */
export interface HubModel {
  readonly id: string;
  readonly revision?: string | undefined;
  /** Path in the repository; "" for its root. */
  readonly folder: string;
  /** Name of a GGUF file in the folder. */
  readonly file?: string | undefined;
  /** What the name of a GGUF file in the folder says of its types, such as Q4_K_M. */
  readonly quantization?: string | undefined;
}

/** Path prefixes of the hub that are not models, or not repositories. */
const OTHER = /^(datasets|spaces|kernels|buckets|collections|papers|api|docs|blog|settings|organizations|join|login)$/;
/** Pages of a repository that show a folder or file of a revision. */
const PAGES = /^(tree|blob|resolve|raw|blame)$/;
/** What follows `@` or a page's name: a revision, and perhaps a path. Two kinds of revisions contain slashes. */
const LOCATION = /^(refs\/(?:pr\/\d+|convert\/[\w.-]+)|[^/]+)(?:\/(.*))?$/s;

/** Files that a model's directory may contain. */
const OWN =
  /^(?:(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|chat_template|vocab|model\.safetensors\.index)\.json|model(?:-\d+-of-\d+)?\.safetensors|chat_template\.jinja|tokenizer\.model|merges\.txt)$/;
const GGUF = /\.gguf$/i;
/** Files of weights by extension, and their formats. */
const FOREIGN: readonly (readonly [RegExp, string])[] = [
  [/\.ggml$/i, "weights in a format before GGUF"],
  [/\.safetensors$/i, "safetensors by another name"],
  [/\.(?:bin|pth?|ckpt)$/i, "weights of PyTorch: convert them with save_pretrained of transformers"],
  [/\.(?:onnx|h5|msgpack|tflite|npz|mlmodel|engine)$/i, "weights in another format"],
  [/\.(?:zip|tar|t?gz|7z)$/i, "an archive: unpack it"],
];

/** Whether this is "org/name" or "name" as the hub spells them. */
export function isModelId(text: string): boolean {
  return /^(?:\w(?:[\w.-]{0,94}\w)?\/)?\w(?:[\w.-]{0,94}\w)?$/.test(text) && !/--|\.\.|\.git$/.test(text);
}

const lastOf = (path: string) => path.split(/[/\\]|%2F/i).at(-1) as string;
const isOwn = (name: string) => OWN.test(name) || GGUF.test(name);

/** The name of the GGUF file that a path or the path of a URL ends with; undefined for any other. */
export function ggufName(path: string): string | undefined {
  const name = lastOf(path);
  return GGUF.test(name) ? name : undefined;
}

/** The format of a file of weights that is not supported, by its name; undefined for any other name. */
export function foreignFile(path: string): string | undefined {
  return isOwn(lastOf(path)) ? undefined : FOREIGN.find(([pattern]) => pattern.test(path))?.[1];
}

/** Whether a name is that of a file. */
function namesFile(path: string): boolean {
  return isOwn(lastOf(path)) || foreignFile(path) !== undefined;
}

/**
 * The directory of a path or URL (without query): its parent if it ends with one of a model's files, such as
 * config.json, a shard or a GGUF file; otherwise the path itself. Throws OptionError for weights in an unsupported
 * format.
 */
export function folderOf(path: string): string {
  const name = lastOf(path);
  if (isOwn(name)) return path.slice(0, path.length - name.length);
  const foreign = foreignFile(path);
  if (foreign) throw foreignError(`${path} (${foreign})`);
  return path;
}

/** The error for weights in an unsupported format. */
export function foreignError(found: string): OptionError {
  return new OptionError(
    mismatch("model", "a directory with config.json and model.safetensors, or a GGUF file", found),
  );
}

/** What the name of a model may be on hosts with a file system. */
export const EXPECTED = "a directory, a GGUF file, a URL or a Hugging Face id such as org/name";

/**
 * The model that an id, `org/name@revision`, an `hf://` path or the address of a page of the hub names, each perhaps
 * followed by a colon and what the name of a GGUF file says of its types (`org/name:Q4_K_M`); undefined for what is none
 * of them. `endpoint`: another hub's address, whose pages count as well.
 *
 * @throws OptionError for addresses of the hub that are no model's.
 */
export function hubModel(text: string, endpoint = HUB): HubModel | undefined {
  const [, bare = text, quantization] = text.match(/^(.*\/.*):([\w.-]+)$/s) ?? [];
  const model = namedModel(bare, endpoint);
  return model && quantization && !model.file ? { ...model, quantization } : model;
}

function namedModel(text: string, endpoint: string): HubModel | undefined {
  if (isModelId(text)) return namesFile(text) ? undefined : { id: text, folder: "" };
  if (/^hf:\/\//i.test(text)) return located(text.slice(5).replace(/^models\/(?=[^/]+\/)/, ""), text);
  const page = pathOfPage(text, endpoint);
  if (page) return pageModel(page, text);
  const [, id = "", revision = ""] = text.match(/^([^@]+)@([^@]+)$/) ?? [];
  const whole = LOCATION.exec(revision)?.[2] === undefined;
  return isModelId(id) && whole && revision ? { id, revision, folder: "" } : undefined;
}

/** A revision, and the GGUF file that is meant, given beside the name of a model. */
export interface Beside {
  readonly revision?: string | undefined;
  readonly file?: string | undefined;
}

/** The same for a model with these beside its name: throws OptionError if the name contains another one of them. */
export function hubModelAt(text: string, beside: Beside, endpoint?: string): HubModel | undefined {
  const model = hubModel(text, endpoint);
  if (!model) return undefined;
  const one = (key: "revision" | "file") => {
    const [own, other] = [model[key], beside[key]];
    if (own === undefined || other === undefined || own === other) return own ?? other;
    throw new OptionError(mismatch(key, `${own}, as ${shown(text)} says, or none`, other));
  };
  const [revision, file] = [one("revision"), one("file")];
  if (file !== undefined && model.quantization !== undefined)
    throw new OptionError(mismatch("file", `none beside ${shown(text)}`, file));
  return { ...model, ...(revision === undefined ? {} : { revision }), ...(file === undefined ? {} : { file }) };
}

/** `id` or `id@revision`, either followed by a path. */
function located(body: string, text: string): HubModel {
  const [, id = "", at, rest = ""] = body.match(/^([^/@]+(?:\/[^/@]+)?)(?:(@)|\/|$)(.*)$/s) ?? [];
  if (!at) return modelAt(id, text, undefined, rest);
  const [, revision, path = ""] = LOCATION.exec(rest) ?? [];
  return modelAt(revision ? id : "", text, revision && decode(revision), path);
}

/** The path segments of a page on the hub; undefined for an address elsewhere. */
function pathOfPage(text: string, endpoint: string): { parts: string[]; ours: boolean } | undefined {
  const bare = /^(?:www\.)?(?:huggingface\.co|hf\.co)(?:[/?#]|$)/i.test(text);
  const address = bare ? `https://${text}` : text;
  if (!/^https?:\/\//i.test(address) || !URL.canParse(address)) return undefined;
  const url = new URL(address);
  const ours = /^(?:www\.)?(?:huggingface\.co|hf\.co)$/.test(url.hostname);
  const home = new URL(endpoint);
  const prefix = ours ? "" : home.pathname.replace(/\/+$/, "");
  if (!ours && (url.host !== home.host || !`${url.pathname}/`.startsWith(`${prefix}/`))) return undefined;
  return { parts: url.pathname.slice(prefix.length).split("/").filter(Boolean), ours };
}

/** A page of a model; undefined for pages of another hub that are not one. */
function pageModel({ parts, ours }: { parts: string[]; ours: boolean }, text: string): HubModel | undefined {
  const names = parts[0] === "models" && parts.length > 2 ? parts.slice(1) : parts;
  // Old ids have no organisation.
  const old = names.length === 1 || PAGES.test(names[1] ?? "");
  const id = names.slice(0, old ? 1 : 2).join("/");
  const [page, ...rest] = names.slice(old ? 1 : 2);
  const named = isModelId(id) && !namesFile(id) && !OTHER.test(names[0] as string);
  if (named && (page === undefined || PAGES.test(page))) {
    // A revision in one segment may contain percent-encoded slashes.
    const [, revision, path = ""] = LOCATION.exec(rest.join("/")) ?? [];
    return modelAt(id, text, revision && decode(revision), path.split("/").map(decode).join("/"));
  }
  if (!ours) return undefined;
  throw new OptionError(mismatch("model", "the page of a model, or of a folder or file of it", shown(text)));
}

function modelAt(id: string, text: string, revision: string | undefined, path: string): HubModel {
  const folder = folderOf(path).replace(/\/+$/, "");
  const file = ggufName(path);
  const plain = folder === "" || !/(^|\/)(\.{0,2})(\/|$)|[\\\0]/.test(folder);
  if (isModelId(id) && plain && !OTHER.test(id.split("/")[0] as string))
    return { id, folder, revision: revision || undefined, ...(file ? { file } : {}) };
  throw new OptionError(mismatch("model", "a Hugging Face model such as hf://org/name@revision/folder", shown(text)));
}
