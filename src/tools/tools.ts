/** A tool as OpenAI's chats describe it, and chat templates read it. */
export interface Tool {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string | undefined;
    readonly parameters?: unknown;
  };
}

/** What an answer says: text, and calls, each begun and then filled with arguments, JSON. */
export type Piece =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "call"; readonly index: number; readonly id: string; readonly name: string }
  | { readonly type: "arguments"; readonly index: number; readonly text: string };

/** Arguments of a call as chat templates read them: an object where they are JSON of one, otherwise as they were said. */
export function argumentsOf(given: unknown): unknown {
  if (typeof given !== "string") return given ?? {};
  try {
    const parsed: unknown = JSON.parse(given);
    return typeof parsed === "object" && parsed !== null ? parsed : given;
  } catch {
    return given === "" ? {} : given;
  }
}
