import { mismatch } from "../base/errors.ts";
import { type Client, HubError } from "./hub_client.ts";

/** What an HTTP status means to the user; 404 only for the request for the revision. */
export function explain(error: unknown, id: string, client: Client, revision?: string): unknown {
  if (!(error instanceof HubError)) return error;
  const { status, code } = error;
  const { endpoint, token } = client;
  if (status === 404 && revision !== undefined && code === "RevisionNotFound") {
    return new HubError(mismatch(id, `revision ${revision} on ${endpoint}`, "none (404)"), status, code);
  }
  if (status === 404 && revision !== undefined) {
    return new HubError(`${id}: expected a model on ${endpoint}, found none (404)`, status, code);
  }
  if (status !== 401 && status !== 403) return error;
  const terms = `accept its terms at ${endpoint}/${id}`;
  const found =
    code === "GatedRepo"
      ? `a gated one (${status}): ${terms} and ${token ? "use a token of that account" : "set HF_TOKEN"}`
      : token
        ? `none for this token (${status}): it is private or gated, or does not exist; check HF_TOKEN`
        : `none without a token (${status}): it is private or gated, or does not exist; set HF_TOKEN`;
  return new HubError(`${id}: expected a model on ${endpoint}, found ${found}`, status, code);
}
