import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { type ChatOptions, renderChat } from "./chat.ts";
import type { Message } from "./conversation.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Options of rendering new turns. */
export interface NextTurnsOptions extends ChatOptions {
  /** What the text follows: an answer as the model wrote it, whose turn is still open, or complete turns. */
  after?: "answer" | "turns";
}

/**
 * The text of new turns behind a chat whose earlier turns are not at hand: what ends the answer before them (such as
 * "<|im_end|>\n", not with `after: "turns"`), then the new turns, then the generation prompt. It has neither the start
 * of a chat (BOS, a default system prompt, tools that stand there) nor any earlier turn.
 *
 * The template renders invented earlier turns with the new ones, and the text is cut behind the invented answer. Where
 * a template rewrites earlier turns when new ones come (as those do that drop reasoning), the turns in a session stay
 * as they were.
 *
 * @throws OptionError, ModelError as renderChat does, or if the template does not write turns one after the other
 */
export function renderNextTurns(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  { after = "answer", ...options }: NextTurnsOptions = {},
): string {
  if (after !== "answer" && after !== "turns") throw new OptionError(mismatch("after", "answer or turns", after));
  if (!Array.isArray(messages) || messages.length === 0) return renderChat(tokenizer, messages, options);
  const none = `${tokenizer.name}: the chat template does not write turns one after the other: ${RETRY}`;
  let why: unknown;
  let writesCalls = false;
  for (const invention of inventions(messages)) {
    const isCall = invention.turns.at(-1)!.tool_calls !== undefined;
    // Tool results follow a plain answer only if the template does not write calls.
    if (writesCalls && !isCall) continue;
    try {
      const found = behind(tokenizer, invention, messages, options, after);
      if (found?.text !== undefined) return found.text;
      writesCalls ||= isCall && found !== undefined;
      why ??= new OptionError(none);
    } catch (error) {
      if (!(error instanceof ModelError || error instanceof OptionError)) throw error;
      // Later ones may depend on what was made up.
      why ??= error;
    }
  }
  throw why;
}

const RETRY = "start a session with the whole chat";

/** Placeholder turns, the last of which ends with a mark. */
interface Invention {
  readonly turns: readonly Message[];
  readonly mark: string;
  /** Texts that must not remain in the result. */
  readonly others: readonly string[];
}

/** In the order in which they are tried: templates accept different ones. */
function* inventions(messages: readonly Message[]): Generator<Invention> {
  const all = JSON.stringify(messages);
  const word = (name: string) => {
    for (let text = `Invented${name}`; ; text += "X") if (!all.includes(text)) return text;
  };
  const [mark, question, rule] = [word("Answer"), word("Question"), word("Rule")];
  const others = [question, rule];
  const tools = leadingTools(messages);
  const inParts = Array.isArray(messages[0]?.content);
  for (const parts of [inParts, !inParts]) {
    const content = (text: string) => (parts ? [{ type: "text", text }] : text);
    const system = { role: "system", content: content(rule) };
    const user = { role: "user", content: content(question) };
    const answers = [...(tools.length ? calls(tools, mark) : []), { role: "assistant", content: content(mark) }];
    for (const answer of answers) {
      yield { turns: [user, answer], mark, others };
      yield { turns: [system, user, answer], mark, others };
    }
    // After a user's turn, or only a system turn.
    yield { turns: [{ role: "user", content: content(mark) }], mark, others };
    yield { turns: [{ role: "system", content: content(mark) }], mark, others };
  }
}

/** The tool results at the start: the answer before them has called these tools. */
function leadingTools(messages: readonly Message[]): readonly Message[] {
  const end = messages.findIndex(({ role }) => role !== "tool");
  return end < 0 ? messages : messages.slice(0, end);
}

/**
 * Answers that call tools, with the mark in the last argument: as an object, and as text, which some templates expect.
 */
function calls(tools: readonly Message[], mark: string): Message[] {
  return [{ value: mark }, JSON.stringify({ value: mark })].flatMap((args) => {
    const tool_calls = tools.map(({ tool_call_id: id = "call00000", name = "tool" }) => {
      return { id, type: "function", function: { name, arguments: args } };
    });
    return [
      { role: "assistant", content: "", tool_calls },
      { role: "assistant", tool_calls },
    ];
  });
}

/** undefined if the mark does not appear; no text if what follows it is ambiguous. */
function behind(
  tokenizer: Tokenizer,
  { turns, mark, others }: Invention,
  messages: readonly Message[],
  options: ChatOptions,
  after: "answer" | "turns",
): { text?: string } | undefined {
  const rest = (chat: readonly Message[], how: ChatOptions) => {
    const text = renderChat(tokenizer, chat, how);
    const at = text.lastIndexOf(mark);
    return at < 0 ? undefined : text.slice(at + mark.length);
  };
  const text = rest([...turns, ...messages], options);
  if (text === undefined) return undefined;
  if (others.some((other) => text.includes(other))) return {};
  const last = turns.at(-1)!;
  if (after === "answer" && last.tool_calls === undefined) return last.role === "assistant" ? { text } : {};
  const { continueFinalMessage: _, ...closed } = options;
  const alone = { ...closed, addGenerationPrompt: false };
  const end = rest(turns, alone);
  if (end === undefined || !text.startsWith(end)) return {};
  if (after === "turns") return { text: text.slice(end.length) };
  // The call ends with the model's own tokens; only what ends any answer may follow them.
  const plain = rest([...turns.slice(0, -1), { role: "assistant", content: mark }], alone);
  return plain !== undefined && end.endsWith(plain) ? { text: text.slice(end.length - plain.length) } : {};
}
