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
