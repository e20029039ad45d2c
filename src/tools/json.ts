import type { BodyReader, CallPiece } from "./reader.ts";

/** How a value of JSON is told from what follows it, character by character. */
class Scan {
  #level = 0;
  #quoted = false;
  #escaped = false;
  #bare = false;

  /** Takes a character of a value; whether the value ends with it, or, of a number or a word, before it. */
  take(char: string): "more" | "last" | "before" {
    if (this.#quoted) {
      if (this.#escaped) this.#escaped = false;
      else if (char === "\\") this.#escaped = true;
      else if (char === '"') this.#quoted = false;
      return !this.#quoted && this.#level === 0 ? "last" : "more";
    }
    if (char === '"') this.#quoted = true;
    else if (char === "{" || char === "[") this.#level++;
    else if (char === "}" || char === "]") {
      if (this.#level === 0) return "before";
      this.#level--;
      return this.#level === 0 ? "last" : "more";
    } else if (this.#level === 0) {
      if (this.#bare && /[\s,]/.test(char)) return "before";
      this.#bare ||= !/\s/.test(char);
    }
    return "more";
  }
}

/** Names under which models write arguments. */
const ARGUMENTS = ["arguments", "parameters"];
/** What an object that is a call may have. */
const KEYS = ["name", "type", "id", ...ARGUMENTS];

/**
 * Reads `{"name": …, "arguments": {…}}`, the keys in any order, and gives the arguments as they are written. An object
 * that is no call is left as text.
 */
export class JsonCall implements BodyReader {
  #text = "";
  #state: "open" | "key" | "colon" | "value" | "comma" = "open";
  #key = "";
  #scan = new Scan();
  #value = "";
  #named = false;
  #held = "";
  #name = "";
  readonly #names: ReadonlySet<string> | undefined;

  /**
   * @param names of the functions whose calls are of callFormats, beside texts of another form: nothing else is one, and it
   * is one once its arguments begin. undefined: as models write calls by themselves
   */
  constructor(names?: ReadonlySet<string>) {
    this.#names = names;
  }

  push(text: string): { readonly pieces: readonly CallPiece[]; readonly rest?: string } | undefined {
    const pieces: CallPiece[] = [];
    for (let i = 0; i < text.length; i++) {
      const char = text[i] as string;
      this.#text += char;
      if (this.#state === "value") {
        const taken = this.#scan.take(char);
        if (taken !== "before") this.#add(char, pieces);
        if (taken === "more") continue;
        if (!this.#close(pieces)) return undefined;
        this.#state = "comma";
        if (taken === "last") continue;
      }
      if (/\s/.test(char) && !(this.#state === "key" && this.#value !== "")) continue;
      if (this.#state === "comma" && char === "}")
        return this.#named ? { pieces: [...pieces, ...this.#late()], rest: text.slice(i + 1) } : undefined;
      if (!this.#step(char)) return undefined;
    }
    return { pieces };
  }

  get text(): string {
    return this.#text;
  }

  get started(): boolean {
    return this.#named;
  }

  /** A character between values; false if it does not belong there. */
  #step(char: string): boolean {
    if (this.#state === "open" || this.#state === "comma") {
      const expected = this.#state === "open" ? "{" : ",";
      this.#state = "key";
      [this.#value, this.#scan] = ["", new Scan()];
      return char === expected;
    }
    if (this.#state === "key") {
      if (this.#value === "" && char !== '"') return false;
      this.#value += char;
      if (this.#scan.take(char) !== "last") return true;
      const before = this.#key;
      this.#key = parsed(this.#value) as string;
      this.#state = "colon";
      if (!this.#names) return KEYS.includes(this.#key);
      return before === "" ? this.#key === "name" : before === "name" && this.#key === "arguments";
    }
    [this.#state, this.#value, this.#scan] = ["value", "", new Scan()];
    return char === ":";
  }

  /** A character of a value. Arguments that are an object pass as they are. */
  #add(char: string, pieces: CallPiece[]): void {
    if (this.#value === "" && /\s/.test(char)) return;
    this.#value += char;
    if (!ARGUMENTS.includes(this.#key)) return;
    if (this.#names) {
      if (!this.#named) pieces.push({ name: this.#name });
      this.#named = true;
      pieces.push({ arguments: char });
      return;
    }
    if (this.#value.startsWith('"')) return;
    if (!this.#named) this.#held += char;
    else pieces.push({ arguments: char });
  }

  /** The end of a value; false if the object is no call. */
  #close(pieces: CallPiece[]): boolean {
    if (this.#key === "name") {
      const name = parsed(this.#value);
      if (typeof name !== "string" || name === "" || this.#names?.has(name) === false) return false;
      if (this.#names) {
        this.#name = name;
        return true;
      }
      pieces.push({ name });
      this.#named = true;
      pieces.push(...this.#late());
    } else if (!this.#names && ARGUMENTS.includes(this.#key) && this.#value.startsWith('"')) {
      const text = parsed(this.#value);
      if (this.#named) pieces.push({ arguments: `${text}` });
      else this.#held = `${text}`;
    }
    return true;
  }

  /** Arguments that came before the name. */
  #late(): CallPiece[] {
    const held = this.#held;
    this.#held = "";
    return held === "" ? [] : [{ arguments: held }];
  }
}

/** Reads one value of JSON, the arguments of a call whose name is known. */
export class JsonArguments implements BodyReader {
  readonly #name: string;
  readonly #scan = new Scan();
  #text = "";

  constructor(name: string) {
    this.#name = name;
  }

  push(text: string): { readonly pieces: readonly CallPiece[]; readonly rest?: string } | undefined {
    const pieces: CallPiece[] = this.#text === "" ? [{ name: this.#name }] : [];
    for (let i = 0; i < text.length; i++) {
      const char = text[i] as string;
      this.#text += char;
      if (this.#text.trim() === "") continue;
      if (this.#text.trim()[0] !== "{") return undefined;
      pieces.push({ arguments: char });
      if (this.#scan.take(char) === "last") return { pieces, rest: text.slice(i + 1) };
    }
    return { pieces };
  }

  get text(): string {
    return this.#text;
  }

  get started(): boolean {
    return this.#text !== "";
  }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
