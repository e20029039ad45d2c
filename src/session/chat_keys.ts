import { VERSION } from "../base/version.ts";
import { isLogged } from "../plan/middle.ts";
import type { EngineFacts } from "../service/types.ts";
import type { Message } from "../tokenizer/chat.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** The ids of a piece; `first`: of a chat's first one. */
export function encodePiece(tokenizer: Tokenizer, text: string, first: boolean): number[] {
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  if (first) return encode(text);
  // Many tokenizers put a space before a text, but not after a line end.
  const lineEnd = encode("\n");
  const ids = encode(`\n${text}`);
  return lineEnd.every((id, i) => id === ids[i]) ? ids.slice(lineEnd.length) : encode(text);
}

/**
 * What a chain of keys starts with: states of other engines, of another release, or of other first tokens that stay, are
 * none of these.
 */
export function originOf(facts: EngineFacts, nGlobal: number): string {
  const { modelHash, dtype, cacheDtype, attention, nLocal, limit } = facts;
  const { recall, recallDistance, recallLayers, recallHeads, recallTokens, recallBlocks, recallGate } = facts;
  const middle = [
    ...[recall, recallDistance, recallLayers, JSON.stringify(recallHeads), recallTokens, recallBlocks, recallGate],
    facts.recallQueries,
  ];
  // Snapshots of sessions with a log have another form.
  const log = isLogged(facts) ? ["log"] : [];
  return [VERSION, modelHash, dtype, cacheDtype, attention, nGlobal, nLocal, limit, ...middle, ...log].join(" ");
}

/**
 * What identifies each piece with all before it: a chain of SHA-256, started by `origin`. Where the host has none (a
 * page that is not served securely), the texts themselves.
 */
export async function chain(origin: string, texts: readonly string[]): Promise<string[]> {
  const keys: string[] = [];
  for (const text of texts) keys.push(await link(keys.at(-1) ?? origin, text));
  return keys;
}

/** The key of a text behind that of all before it. */
export async function link(before: string, text: string): Promise<string> {
  const both = `${before.length} ${before} ${text}`;
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined;
  if (!subtle) return both;
  const digest = new Uint8Array(await subtle.digest("SHA-256", new TextEncoder().encode(both)));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** How many messages at the start are the system's. */
export function leading(messages: readonly Message[]): number {
  const first = messages.findIndex(({ role }) => role !== "system" && role !== "developer");
  return first < 0 ? messages.length : first;
}

/** The pieces that turns start in, those of the user's messages; `of`: each message's piece. */
export function turnsOf(messages: readonly Message[], of: readonly number[]): ReadonlySet<number> {
  return new Set(of.filter((_, i) => messages[i]?.role === "user"));
}

/** Tokens in lists that an abort is heard between, with the places in them of pieces that are starts of turns. */
export function* parts(pieces: readonly (readonly number[])[], isTurn: (piece: number) => boolean, chunkSize: number) {
  let length = 0;
  const starts: number[] = [];
  for (const [i, { length: more }] of pieces.entries()) {
    if (isTurn(i)) starts.push(length);
    length += more;
  }
  const ids = pieces.flat();
  const size = 16 * chunkSize;
  for (let i = 0; i < length; i += size) {
    const turnStarts = starts.filter((start) => start >= i && start < i + size).map((start) => start - i);
    yield { ids: ids.slice(i, i + size), turnStarts };
  }
}
