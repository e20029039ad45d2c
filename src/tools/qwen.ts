import type { BodyRead, BodyReader, CallPiece } from "./reader.ts";

/** The JSON schema of a tool's parameters, as far as it matters here. */
export type ParameterTypes = (tool: string, parameter: string) => unknown;

const END = "</function>";

/**
 * Reads `<function=name><parameter=key>value</parameter>…</function>`, as Qwen3-Coder and Qwen3.5 write calls. Values are
 * text where the tool's schema says so, else JSON if they are.
 */
export class TaggedCall implements BodyReader {
  readonly #typeOf: ParameterTypes;
  #text = "";
  #name = "";

  constructor(typeOf: ParameterTypes) {
    this.#typeOf = typeOf;
  }

  push(text: string): BodyRead | undefined {
    this.#text += text;
    const [head, name = ""] = this.#text.match(/^\s*<function=([^>]+)>/) ?? [];
    if (head === undefined) {
      const ahead = this.#text.trimStart();
      const open = "<function=".startsWith(ahead) || /^<function=[^>]*$/.test(ahead);
      return open ? { pieces: [] } : undefined;
    }
    const pieces: CallPiece[] = this.#name === "" ? [{ name: name.trim() }] : [];
    this.#name = name.trim();
    const end = this.#text.indexOf(END);
    if (end < 0) return { pieces };
    pieces.push({ arguments: JSON.stringify(this.#values(this.#text.slice(head.length, end))) });
    return { pieces, rest: this.#text.slice(end + END.length) };
  }

  get text(): string {
    return this.#text;
  }

  get started(): boolean {
    return this.#name !== "";
  }

  #values(text: string): Record<string, unknown> {
    const all = text.matchAll(/<parameter=([^>]+)>(.*?)(?:<\/parameter>|(?=<parameter=)|$)/gs);
    return Object.fromEntries([...all].map(([, key = "", value = ""]) => [key.trim(), this.#value(key.trim(), value)]));
  }

  #value(key: string, raw: string): unknown {
    const text = raw.replace(/^\n|\n$/g, "");
    if (this.#typeOf(this.#name, key) === "string") return text;
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
}
