import type { BodyLimits } from "./body.ts";
import type { Core } from "./core.ts";
import { missing } from "./errors.ts";
import type { Pending } from "./pending.ts";
import type { ResponseStore } from "./response_store.ts";

/** What the dialects share: the models, and the limits. */
export interface Service {
  /** Models by the names that they answer to, the first one by default. */
  readonly cores: ReadonlyMap<string, Core>;
  readonly limits: BodyLimits;
  /** The most tokens of an answer, where the request does not say. */
  readonly maxNewTokens: number;
  readonly responses: ResponseStore;
  /** What has to be in the store before the server ends. */
  readonly pending: Pending;
  /** Seconds since 1970 at which the server started. */
  readonly created: number;
}

/** The model that a request names, the first one if it names none. Throws ApiError 404 for an unknown name. */
export function coreOf({ cores }: Service, name: string | null | undefined): Core {
  // Ollama's clients put a tag behind names.
  const core = name ? (cores.get(name) ?? cores.get(name.replace(/:latest$/, ""))) : cores.values().next().value;
  if (core) return core;
  const known = [...cores.keys()].join(", ");
  throw missing("model", known, name, "model_not_found");
}

/** A name that no other answer has. */
export function newId(prefix: string): string {
  return `${prefix}${crypto.randomUUID().replaceAll("-", "")}`;
}
