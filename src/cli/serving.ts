import { LambentError } from "../base/errors.ts";
import { inspect, type LoadOptions } from "../session/load.ts";

/** The most first tokens that are kept for system turns by default. */
const MOST_PINNED = 512;

/** The server with the packages that it needs, which only those who serve install. */
export async function serverModule(
  command: string,
  packages: readonly string[],
): Promise<typeof import("../server/server.ts")> {
  return import("../server/server.ts").catch((error) => {
    if (error?.code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new LambentError(`lambent ${command} needs ${packages.join(", ")}: npm install ${packages.join(" ")}`);
  });
}

/** First tokens that stay when a chat is longer than the window, for its system turn: a quarter of the window. */
export async function pinnedTokens(where: string, options: LoadOptions): Promise<number | undefined> {
  if (options.nGlobal !== undefined || options.attention !== "lambda") return options.nGlobal;
  const { nLocal } = (await inspect(where, options)).plan.policy;
  return Math.max(10, Math.min(MOST_PINNED, Math.floor(nLocal / 4)));
}

/** What clients call a model: a Hugging Face id as it is, else the last part of its place. */
export function nameOf(where: string): string {
  if (/^[\w.-]+\/[\w.-]+(:[\w.-]+)?$/.test(where) && !where.startsWith(".")) return where;
  const last = where.replace(/[/\\]+$/, "").match(/[^/\\]+$/)?.[0] ?? where;
  return last.replace(/\.gguf$/i, "");
}

/** Reads a flag that may be given several times. */
export const several = (text: string, all: string[] = []) => [...all, text];
