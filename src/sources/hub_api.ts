/**
 * What the hub knows about a model, requested as Python's huggingface_hub does, so that mirrors and proxies can answer.
 */
import { mismatch } from "../base/errors.ts";
import { isRecord } from "../formats/json.ts";
import { type Answer, type Client, HubError, Transient } from "./hub_client.ts";
import type { RemoteFile } from "./transfer.ts";

/** Whether a revision is a commit. */
export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/** A branch, tag or commit, resolved. */
export interface Revision {
  readonly commit: string;
  /** Paths of its files; undefined if only the commit is known. */
  readonly files: ReadonlySet<string> | undefined;
}

/** Asks the API; a mirror without one gives the commit with each file (X-Repo-Commit), such as that at `known`. */
export async function findRevision(client: Client, id: string, revision: string, known: string): Promise<Revision> {
  const { endpoint } = client;
  try {
    const info = await client.json(`${endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}`, id);
    if (!isRecord(info) || !isCommit(String(info.sha)))
      throw new HubError(
        mismatch(id, `a commit from the Hugging Face API of ${endpoint}`, isRecord(info) ? info.sha : info),
      );
    const files = Array.isArray(info.siblings) ? info.siblings.map((file) => String(file?.rfilename)) : undefined;
    return { commit: String(info.sha), files: files && new Set(files) };
  } catch (error) {
    // Servers that know the hub's error codes have its API.
    if (!(error instanceof HubError) || error instanceof Transient || error.code) throw error;
    const answer = await askFor(client, fileUrl(client, id, revision, known), id).catch(() => undefined);
    const commit = answer?.response.headers.get("x-repo-commit") ?? "";
    if (!isCommit(commit)) throw error;
    return { commit, files: undefined };
  }
}

/** Size and hash of a file, from the headers of its URL; undefined if it does not exist. */
export async function findFile(
  client: Client,
  id: string,
  commit: string,
  path: string,
): Promise<RemoteFile | undefined> {
  const subject = `${id}: ${path}`;
  const answer = await askFor(client, fileUrl(client, id, commit, path), subject);
  const { response, host } = answer;
  const { status, headers } = response;
  if (status === 404 || status === 410) return undefined;
  // A redirect is enough of an answer if it has these headers.
  if (!headers.has("x-linked-size")) client.check(answer, subject);
  const etag = answer.etag ?? headers.get("etag") ?? "";
  const hash = /^[0-9a-f]{64}$/.test(etag) ? "sha256" : /^[0-9a-f]{40}$/.test(etag) ? "sha1" : undefined;
  const html = headers.get("content-type")?.startsWith("text/html") && !hash && !headers.has("x-repo-commit");
  if (html) throw new HubError(mismatch(subject, "a file", `a web page of ${host}`), status);
  const encoded = (headers.get("content-encoding") ?? "identity") !== "identity";
  const length = headers.get("x-linked-size") ?? (encoded ? null : headers.get("content-length"));
  const size = length !== null && /^\d+$/.test(length) ? Number(length) : Number.NaN;
  if (!Number.isSafeInteger(size) || !/^[\w{}+=.-]{1,128}$/.test(etag) || etag.startsWith("."))
    throw new HubError(mismatch(subject, "its size and an ETag that can name a file", { size: length, etag }));
  return { name: path, size, oid: etag, hash };
}

/** Whether a server refused a file without the hub's error codes, as some do for missing files. */
export function mayBeAbsent(error: unknown): error is HubError {
  return error instanceof HubError && !error.code && [200, 400, 403].includes(error.status ?? 0);
}

/** The URL of a file. */
export function fileUrl(client: Client, id: string, revision: string, path: string): string {
  const parts = path.split("/").map(encodeURIComponent);
  return [client.endpoint, id, "resolve", encodeURIComponent(revision), ...parts].join("/");
}

/** The headers of a URL: by HEAD, or by a GET whose body is not read if the server does not support HEAD. */
function askFor(client: Client, address: string, subject: string): Promise<Answer> {
  return client.retry(async () => {
    let answer: Answer | undefined;
    for (const method of ["HEAD", "GET"]) {
      answer = await client.open(address, {
        subject,
        method,
        linked: true,
        headers: { "accept-encoding": "identity" },
      });
      answer.close();
      if (![400, 403, 405, 501].includes(answer.response.status)) break;
    }
    const { response } = answer as Answer;
    if (response.status === 408 || response.status === 429 || response.status >= 500)
      client.check(answer as Answer, subject);
    return answer as Answer;
  });
}
