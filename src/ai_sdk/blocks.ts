import type { LanguageModelV4Content, LanguageModelV4StreamPart } from "@ai-sdk/provider";
import type { Piece } from "../tools/tools.ts";

/** An answer as the parts of a stream: texts and calls, each started, filled and ended before the next. */
export class Blocks {
  #texts = 0;
  /** The text that is open. */
  #text: string | undefined;
  /** The call that is open. */
  #call: { readonly id: string; readonly name: string; input: string } | undefined;

  /** The parts of a piece. */
  *take(piece: Piece): Generator<LanguageModelV4StreamPart, void, undefined> {
    if (piece.type === "text") {
      if (piece.text === "") return;
      if (this.#text === undefined) {
        yield* this.end();
        this.#text = `text-${this.#texts++}`;
        yield { type: "text-start", id: this.#text };
      }
      yield { type: "text-delta", id: this.#text, delta: piece.text };
    } else if (piece.type === "call") {
      yield* this.end();
      this.#call = { id: piece.id, name: piece.name, input: "" };
      yield { type: "tool-input-start", id: piece.id, toolName: piece.name };
    } else if (this.#call) {
      this.#call.input += piece.text;
      yield { type: "tool-input-delta", id: this.#call.id, delta: piece.text };
    }
  }

  /** Ends what is open. A call that was cut off is given as it is: no JSON, which the AI SDK tells its caller. */
  *end(): Generator<LanguageModelV4StreamPart, void, undefined> {
    if (this.#text !== undefined) yield { type: "text-end", id: this.#text };
    if (this.#call) {
      const { id, name, input } = this.#call;
      yield { type: "tool-input-end", id };
      yield { type: "tool-call", toolCallId: id, toolName: name, input: input || "{}" };
    }
    [this.#text, this.#call] = [undefined, undefined];
  }
}

/** The whole content of a stream's parts. */
export function contentOf(parts: readonly LanguageModelV4StreamPart[]): LanguageModelV4Content[] {
  const content: LanguageModelV4Content[] = [];
  for (const part of parts) {
    const last = content.at(-1);
    if (part.type === "text-start") content.push({ type: "text", text: "" });
    if (part.type === "text-delta" && last?.type === "text") last.text += part.delta;
    if (part.type === "tool-call") content.push(part);
  }
  return content;
}
