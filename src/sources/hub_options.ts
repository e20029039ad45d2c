/** Options of a download from its caller and from the environment, in the variables of Python's huggingface_hub. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { LambentError, mismatch, OptionError } from "../base/errors.ts";
import { shown } from "./address.ts";
import { HUB } from "./model_id.ts";

/**
 * Throws OptionError unless this is a name of a branch, tag or commit, as git spells them; it becomes part of a path.
 */
export function checkRevision(revision: string): void {
  const parts = revision.split("/");
  const odd = parts.some((part) => part === "" || part.startsWith(".") || part.endsWith(".lock"));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: git refuses them too
  if (odd || /[\u0000-\u0020\u007f~^:?*[\\<>|"]|\.\./.test(revision)) {
    throw new OptionError(mismatch("revision", "a branch, tag or commit", revision));
  }
}

/** The hub's address without a trailing slash: the given one, or HF_ENDPOINT. Throws OptionError if it is not a URL. */
export function endpointOf(given?: string): string {
  const endpoint = given ?? (process.env.HF_ENDPOINT || HUB);
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new OptionError(mismatch("endpoint", "an http or https address", shown(endpoint)));
  }
  return endpoint.replace(/[?#].*$/s, "").replace(/\/+$/, "");
}

/** The token without surrounding white space; undefined if empty. Errors do not show it. */
export function checkToken(token: string): string | undefined {
  const text = token.replace(/[\r\n]+/g, "").trim();
  if (/[^\x21-\x7e]/.test(text)) throw new OptionError(mismatch("token", "printable ASCII", "other characters"));
  return text || undefined;
}

/** The token of the environment or of the file that `hf auth login` wrote; "" if there is none. */
export async function storedToken(): Promise<string> {
  const { env } = process;
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return "";
  const token = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN)?.trim();
  if (token) return token;
  return readFile(expand(env.HF_TOKEN_PATH || join(home(), "token")), "utf8").catch(() => "");
}

/** The cache directory of the environment, or Hugging Face's default. */
export function cacheDirectory(): string {
  const { env } = process;
  return expand(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home(), "hub"));
}

/** Whether the environment forbids requests. */
export function isOffline(): boolean {
  return isTrue(process.env.HF_HUB_OFFLINE || process.env.TRANSFORMERS_OFFLINE);
}

function home(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env;
  return expand(HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface"));
}

/** The path with the home directory in place of a leading `~`, as in shells. */
export function expandHome(path: string): string {
  return path.replace(/^~(?=$|[/\\])/, () => homedir());
}

function expand(path: string): string {
  return expandHome(path).replace(/\$(\w+)|\$\{(\w+)\}/g, (all, plain, braced) => {
    return process.env[plain ?? braced] ?? all;
  });
}

function isTrue(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? "");
}

/** An error of the file system in one line; other errors unchanged. */
export function diskError(error: unknown, directory: string): unknown {
  const { code, syscall, path, dest } = error as { code?: string; syscall?: string; path?: string; dest?: string };
  if (error instanceof LambentError || !code || !syscall) return error;
  const thing = dest ?? path ?? directory;
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new LambentError(mismatch(thing, full ? "free disk space" : "a writable cache", full ? "none" : code));
}
