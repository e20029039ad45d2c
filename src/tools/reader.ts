import type { Piece } from "./tools.ts";

/** A part of a call: its name, which starts one, or some of its arguments, JSON. */
export type CallPiece = { readonly name: string } | { readonly arguments: string };

/** What a reader of calls makes of a text: pieces, and the text behind the calls once they are whole. */
export interface BodyRead {
  readonly pieces: readonly CallPiece[];
  readonly rest?: string;
}

/** Reads what follows the opening of a call. */
export interface BodyReader {
  /** Takes more text; undefined if it is no call (any more). */
  push(text: string): BodyRead | undefined;
  /** What it has taken, up to where it was no call any more. */
  readonly text: string;
  /** Whether a call has a name already. */
  readonly started: boolean;
}

/** How a family of models writes calls of tools. */
export interface CallFormat {
  readonly name: string;
  /** What opens a call. */
  readonly openers: readonly string[];
  /** What may stand behind a call, or between two. */
  readonly closers: readonly string[];
  /** Special tokens that are part of calls, and so have to be seen. */
  readonly special: readonly string[];
  /** Whether an answer that starts with "{" is a call too. */
  readonly bare?: boolean;
  body(): BodyReader;
}

/** Takes the text of an answer in pieces, and tells text from calls as early as that is certain. */
export class ToolReader {
  readonly format: CallFormat;
  #calls = 0;
  /** Text that may be the start of a marker. */
  #held = "";
  #body: BodyReader | undefined;
  /** The opening of the current call, and all that followed. */
  #raw = "";
  #opener = "";
  /** Whether text was given. */
  #spoken = false;

  /** @param body reads the start of the answer, where that has to be a call */
  constructor(format: CallFormat, body?: BodyReader) {
    this.format = format;
    this.#body = body;
  }

  /** Calls that were begun. */
  get calls(): number {
    return this.#calls;
  }

  push(text: string): Piece[] {
    const events: Piece[] = [];
    for (let rest: string | undefined = text; rest !== undefined; ) {
      rest = this.#body ? this.#readBody(this.#body, rest, events) : this.#readText(rest, events);
    }
    return events;
  }

  /** The end of the answer: what was held back is text after all, unless it is the start of a mark behind a call. */
  end(): Piece[] {
    const events: Piece[] = [];
    if (this.#body && !this.#body.started) this.#say(this.#opener + this.#raw, events);
    if (!this.#body && this.#calls === 0) this.#say(this.#held, events);
    this.#held = "";
    return events;
  }

  /** Takes text outside of calls; what is left of it is a call's. */
  #readText(text: string, events: Piece[]): string | undefined {
    const { openers, closers, bare } = this.format;
    const all = this.#held + text;
    this.#held = "";
    const ahead = all.trimStart();
    if (bare && !this.#spoken && ahead === "") {
      this.#held = all;
      return undefined;
    }
    if (bare && !this.#spoken && ahead.startsWith("{"))
      return this.#open(all.slice(0, all.length - ahead.length), ahead);
    const markers = this.#calls > 0 ? [...openers, ...closers] : openers;
    const found = first(all, markers);
    if (found) {
      this.#say(all.slice(0, found.at), events);
      const behind = all.slice(found.at + found.marker.length);
      return openers.includes(found.marker) ? this.#open(found.marker, behind) : behind;
    }
    const keep = beginning(all, markers);
    this.#say(all.slice(0, all.length - keep), events);
    this.#held = all.slice(all.length - keep);
    return undefined;
  }

  #open(opener: string, behind: string): string {
    this.#body = this.format.body();
    this.#opener = opener;
    this.#raw = "";
    return behind;
  }

  /** Takes text of a call; what is left of it is none of it. */
  #readBody(body: BodyReader, text: string, events: Piece[]): string | undefined {
    this.#raw += text;
    const read = body.push(text);
    for (const piece of read?.pieces ?? []) {
      if ("name" in piece) events.push({ type: "call", index: this.#calls++, id: newCallId(), name: piece.name });
      else events.push({ type: "arguments", index: this.#calls - 1, text: piece.arguments });
    }
    if (read && read.rest === undefined) return undefined;
    this.#body = undefined;
    if (read) return read.rest;
    if (body.started) return this.#raw.slice(body.text.length);
    this.#spoken = true;
    this.#say(this.#opener + body.text, events);
    return this.#raw.slice(body.text.length);
  }

  /** White space behind a call is none of the answer. */
  #say(text: string, events: Piece[]): void {
    if (text === "" || (this.#calls > 0 && text.trim() === "")) return;
    this.#spoken = true;
    events.push({ type: "text", text });
  }
}

/** The first marker in a text. */
function first(text: string, markers: readonly string[]): { readonly at: number; readonly marker: string } | undefined {
  const found = markers.map((marker) => ({ at: text.indexOf(marker), marker })).filter(({ at }) => at >= 0);
  return found.sort((a, b) => a.at - b.at || b.marker.length - a.marker.length)[0];
}

/** How many characters at the end may be the beginning of a marker. */
function beginning(text: string, markers: readonly string[]): number {
  const longest = Math.max(0, ...markers.map(({ length }) => length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    if (markers.some((marker) => marker.startsWith(text.slice(text.length - length)))) return length;
  }
  return 0;
}

/** Nine letters and digits, as Mistral's templates ask for. */
function newCallId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(bytes, (byte) => "abcdefghijklmnopqrstuvwxyz0123456789"[byte % 36]).join("");
}
