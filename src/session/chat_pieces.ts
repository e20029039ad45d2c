import { LambentError } from "../base/errors.ts";
import { firstTokens } from "../plan/policy.ts";
import { type ChatOptions, type Message, renderChat } from "../tokenizer/chat.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { encodePiece, leading } from "./chat_keys.ts";
import type { SessionModel } from "./encode_prompt.ts";

/** Characters before a line end that decide how it is encoded. */
const CONTEXT = 16;

/** A rendered chat in pieces, which are encoded one by one, so that a longer chat of the same start has the same tokens. */
export interface Pieces {
  readonly texts: readonly string[];
  /** For each message the piece that its text starts in; −1 where the template does not show it. */
  readonly of: readonly number[];
}

/**
 * Renders messages and cuts the text behind each of theirs: before the first special token that follows it, or else at the
 * line ends that follow it, where that changes no token: the pieces' tokens are those of the whole text.
 */
export function cutChat(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions): Pieces {
  const text = renderChat(tokenizer, messages, options);
  const places = locate(text, messages);
  const cuts: number[] = [];
  // Between most messages is the same text.
  const specials = new Map<string, Special | undefined>();
  const shown = places.filter((place) => place !== undefined);
  for (const [i, { end }] of shown.entries()) {
    const at = cutOf(tokenizer, text.slice(0, shown[i + 1]?.begin), end, specials);
    if (at !== undefined && at > (cuts.at(-1) ?? 0)) cuts.push(at);
  }
  const texts = [0, ...cuts].map((from, i) => text.slice(from, cuts[i]));
  const of = places.map((place) => (place ? cuts.filter((cut) => cut <= place.begin).length : -1));
  return { texts, of };
}

/** Where each message's text is, searched from one to the next: a longer chat finds the first ones in the same places. */
function locate(text: string, messages: readonly Message[]): ({ begin: number; end: number } | undefined)[] {
  let from = 0;
  return messages.map(({ content }) => {
    const parts = typeof content === "string" ? [content] : (content ?? []).map((part) => part.text ?? "");
    const found = parts.flatMap((part) => {
      const wanted = part.trim();
      const begin = wanted === "" ? -1 : text.indexOf(wanted, from);
      if (begin < 0) return [];
      from = begin + wanted.length;
      return [{ begin, end: from }];
    });
    return found.length > 0 ? { begin: found[0]!.begin, end: from } : undefined;
  });
}

/** Where a text is cut behind `end`; undefined: nowhere. */
function cutOf(
  tokenizer: Tokenizer,
  text: string,
  end: number,
  specials: Map<string, Special | undefined>,
): number | undefined {
  const between = text.slice(end);
  if (!specials.has(between)) specials.set(between, firstSpecial(tokenizer, between));
  const special = specials.get(between);
  if (special) return end + special.at;
  const [, before = "", lines = ""] = between.match(/^([^\n]*)(\n+)/) ?? [];
  if (lines === "") return undefined;
  // Tokenizers differ in what line ends are joined with.
  const from = end + before.length;
  const to = from + lines.length;
  const inside = text.slice(Math.max(0, from - CONTEXT), to + 1);
  const whole = encodePiece(tokenizer, inside, false).join();
  const keeps = (at: number) => {
    const halves = [inside.slice(0, at - to - 1), inside.slice(at - to - 1)];
    return halves.flatMap((half) => encodePiece(tokenizer, half, false)).join() === whole;
  };
  if (to === text.length) return undefined;
  return [to, to - 1, from].find(keeps);
}

/** A special token in a text. */
interface Special {
  readonly at: number;
  readonly token: string;
}

/** The first special token that is written in a text. */
function firstSpecial(tokenizer: Tokenizer, text: string): Special | undefined {
  const id = tokenizer.encode(text, { addSpecialTokens: false }).find((id) => tokenizer.isSpecial(id));
  const token = id === undefined ? undefined : tokenizer.token(id);
  const at = token ? text.indexOf(token) : -1;
  return at < 0 ? undefined : { at, token: token as string };
}

/** How many tokens the system turn and the tools have, and how many first tokens stay: these, and the policy's few. */
export function staying({ service, tokenizer }: SessionModel, messages: readonly Message[], options: ChatOptions) {
  const { attention, nGlobal } = service.facts;
  const pinned = pinnedTokens(tokenizer, messages, options);
  // What a template writes by itself may leave.
  const given = leading(messages) > 0 || (options.tools?.length ?? 0) > 0;
  return { system: given ? pinned : 0, nGlobal: Math.min(nGlobal, Math.max(pinned, firstTokens(attention))) };
}

/**
 * How many tokens at the start of a chat are the same whatever its first user says: the system turn, the tools, and the
 * head of that turn.
 */
export function pinnedTokens(tokenizer: Tokenizer, messages: readonly Message[], options: ChatOptions): number {
  const { continueFinalMessage: _, ...rendering } = options;
  const system = messages.slice(0, leading(messages));
  const [a = [], b = []] = ["A", "B"].map((content) => {
    const text = renderChat(tokenizer, [...system, { role: "user", content }], rendering);
    return tokenizer.encode(text, { addSpecialTokens: false });
  });
  const other = a.findIndex((id, i) => id !== b[i]);
  return other < 0 ? a.length : other;
}

/**
 * What ends an answer under the template, as stop strings: the special token behind it, or else the text behind it, up
 * to the user's next words where that is only white space. It is needed where the model's stop tokens are others, or
 * none.
 */
export function answerEnds(tokenizer: Tokenizer, options: ChatOptions): string[] {
  const { tools: _, documents: __, continueFinalMessage: ___, ...rendering } = options;
  try {
    return endsOf(tokenizer, rendering);
  } catch (error) {
    // A template that refuses this exchange says nothing of its ends.
    if (error instanceof LambentError) return [];
    throw error;
  }
}

function endsOf(tokenizer: Tokenizer, options: ChatOptions): string[] {
  const mark = "InventedAnswer";
  const turn = [
    { role: "user", content: "InventedQuestion" },
    { role: "assistant", content: mark },
  ];
  const behind = (messages: readonly Message[]) => {
    const text = renderChat(tokenizer, messages, { ...options, addGenerationPrompt: false });
    const at = text.indexOf(mark);
    return at < 0 ? "" : text.slice(at + mark.length);
  };
  const closing = behind(turn);
  const special = firstSpecial(tokenizer, closing);
  if (special) return [special.token];
  // Where a turn is a paragraph, an answer may also end with it.
  if (closing.trim() !== "") return [closing.trim(), ...(/\n\n$/.test(closing) ? ["\n\n"] : [])];
  const next = behind([...turn, { role: "user", content: "InventedAfter" }]);
  const between = next.slice(0, Math.max(0, next.indexOf("InventedAfter"))).trimEnd();
  const begin = firstSpecial(tokenizer, between);
  if (begin) return [begin.token];
  return between.trim() === "" ? [] : [between];
}
