import { JsonArguments, JsonCall } from "./json.ts";
import type { BodyRead, BodyReader, CallPiece } from "./reader.ts";

const ARGS = "[ARGS]";
const CALL_ID = "[CALL_ID]";

/** Reads what follows [TOOL_CALLS]: `[{"name": …, "arguments": …}, …]`, or the newer `name[ARGS]{…}`. */
export class MistralCalls implements BodyReader {
  #text = "";
  #list = false;
  #name = "";
  #call: JsonCall | JsonArguments | undefined;
  #started = false;

  push(text: string): BodyRead | undefined {
    const pieces: CallPiece[] = [];
    for (let at = 0; at < text.length; ) {
      if (this.#call) {
        const rest = text.slice(at);
        const read = this.#call.push(rest);
        if (!read) return undefined;
        pieces.push(...read.pieces);
        this.#started ||= read.pieces.length > 0;
        const taken = rest.length - (read.rest?.length ?? 0);
        this.#text += rest.slice(0, taken);
        at += taken;
        if (read.rest === undefined) break;
        if (this.#call instanceof JsonArguments) return { pieces, rest: text.slice(at) };
        this.#call = undefined;
        continue;
      }
      const char = text[at] as string;
      if (!this.#list && char === "{" && this.#name.trim() !== "") {
        this.#call = new JsonArguments(nameOf(this.#name));
        continue;
      }
      if (this.#list && char === "{") {
        this.#call = new JsonCall();
        continue;
      }
      at++;
      this.#text += char;
      if (this.#list && char === "]") return this.#started ? { pieces, rest: text.slice(at) } : undefined;
      if (this.#list && !/[\s,]/.test(char)) return undefined;
      if (this.#list) continue;
      if (this.#name.trim() === "" && char === "[") this.#list = true;
      else this.#name += char;
      if (!/^[\s\w.[\]-]*$/.test(this.#name)) return undefined;
    }
    return { pieces };
  }

  get text(): string {
    return this.#text;
  }

  get started(): boolean {
    return this.#started;
  }
}

/** What stands before the arguments: a name, perhaps an id, and their marker. */
function nameOf(text: string): string {
  return (text.replace(ARGS, "").split(CALL_ID)[0] as string).trim();
}
