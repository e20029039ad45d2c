import type { TextState, Turn } from "../engine/state.ts";
import { ShownStops } from "../tokenizer/shown_stops.ts";
import { TextStream } from "../tokenizer/stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** How the tokens of a session become text: that of all its tokens together, of which only what was generated is shown. */
export class SessionText {
  readonly #tokenizer: Tokenizer;
  readonly #stream: TextStream;
  #stops: ShownStops;
  #skipSpecialTokens = true;
  #turn: Turn;
  #lastToken: number;

  /** Throws ModelError if the state is none of this tokenizer. */
  constructor(tokenizer: Tokenizer, state?: TextState) {
    this.#tokenizer = tokenizer;
    this.#stream = new TextStream(tokenizer, state?.stream);
    this.#stops = new ShownStops([], state?.tail);
    this.#turn = state?.turn ?? "none";
    this.#lastToken = state?.lastToken ?? -1;
  }

  get state(): TextState {
    return {
      stream: this.#stream.state,
      tail: this.#stops.tail,
      turn: this.#turn,
      lastToken: this.#lastToken,
    };
  }

  /** Takes tokens of a prompt, whose text is not shown, and where in a chat they lead. */
  read(tokens: readonly number[], turn: Turn): void {
    if (tokens.length === 0) return;
    this.#stops.flush();
    this.#turn = turn;
    for (const token of tokens) this.push(token);
  }

  /** Takes a token; gives the text that it makes certain. */
  push(token: number, skipSpecialTokens = true): string {
    this.#lastToken = token;
    return this.#stream.push(token, skipSpecialTokens);
  }

  /** Starts a generation. Throws OptionError for a bad stop string. */
  begin(stopStrings: readonly string[], skipSpecialTokens: boolean): void {
    this.#stops = new ShownStops(stopStrings, this.#stops.tail);
    this.#skipSpecialTokens = skipSpecialTokens;
  }

  /** Takes a token of the generation; gives the text that it makes certain, and whether a stop string ends it there. */
  generate(token: number, isStopToken: boolean): { text: string; stopped: boolean } {
    const special = this.#tokenizer.isSpecial(token);
    const hidden = this.#skipSpecialTokens && (special || isStopToken);
    if (hidden) this.#lastToken = token;
    const text = hidden ? (special ? this.#tokenizer.token(token) : "") : this.push(token, this.#skipSpecialTokens);
    return this.#stops.push(text ?? "", !hidden);
  }

  /** What is still held back when a generation ends; `final`: with what an unfinished character shows, for nothing follows. */
  end(final: boolean): string {
    const last = final ? this.#stops.push(this.#stream.flush(), true).text : "";
    return last + this.#stops.flush();
  }
}
