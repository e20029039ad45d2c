import {
  type Files,
  type GenerateOptions,
  inspect,
  type LoadOptions,
  type LoadProgress,
  load,
  type Model,
  type Session,
} from "lambent";
import { Series } from "./series.ts";
import { Story } from "./story.ts";
import { count, size } from "./words.ts";

/** About how many tokens the speed is averaged over. */
const SPAN = 50;
/** Tokens between two measurements of memory. */
const MEASURED = 128;

/** A model that writes, and its column on the page. */
export class Writer {
  readonly model: Model;
  readonly name: string;
  readonly root: HTMLElement;
  readonly story: Story;
  nll = new Series();
  /** Bytes that the gauge's full width represents. */
  gauge = 1;
  /** Bytes of keys and values that full attention holds per token. */
  readonly #perToken: number;
  #session: Session | undefined;
  #secondsPerToken = 0;
  /** Bytes of WebAssembly memory when it was last measured. */
  #memory = 0;

  constructor(model: Model, name: string, perToken: number) {
    this.model = model;
    this.name = name;
    this.#perToken = perToken;
    const template = document.getElementById("column") as HTMLTemplateElement;
    this.root = (template.content.cloneNode(true) as DocumentFragment).firstElementChild as HTMLElement;
    this.root.classList.add(model.info.attention);
    this.part("h2").textContent = name;
    this.part(".story").setAttribute("aria-label", `The story, by ${name}`);
    // Scrollable content must be reachable by keyboard.
    this.part(".story").tabIndex = 0;
    this.story = new Story(this.part(".story"), this.part(".cut"));
  }

  part(selector: string): HTMLElement {
    return this.root.querySelector(selector) as HTMLElement;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** Whether there is room for another token. */
  get hasRoom(): boolean {
    return (this.#session?.length ?? 0) < this.model.info.maxPositions;
  }

  /** Starts a new story and discards the current one. */
  async begin(prompt: string, seed: number | undefined, signal: AbortSignal): Promise<void> {
    this.clear();
    this.#session = await this.model.session(seed === undefined ? {} : { seed });
    this.story.begin(prompt);
    await this.#session.append(prompt, { signal });
    await this.measure();
  }

  /** Asks the engine how much memory it has. */
  async measure(): Promise<void> {
    this.#memory = await this.model.memory();
  }

  /** Continues from a snapshot; if it is not of this model, the current story stays. */
  async restore(snapshot: Uint8Array): Promise<void> {
    const session = await this.model.restore(snapshot);
    this.clear();
    this.#session = session;
    await this.measure();
    this.story.remark(`Restored at position ${count(session.length)}. Earlier words are not in the file.`);
  }

  clear(): void {
    this.#session?.dispose();
    this.#session = undefined;
    this.story.clear();
    this.nll = new Series();
    this.#secondsPerToken = 0;
  }

  /** Writes a token. */
  async step(options: GenerateOptions): Promise<void> {
    const session = this.#session as Session;
    const begun = performance.now();
    const { id, text, logprob, position } = await session.next(options);
    const seconds = (performance.now() - begun) / 1000;
    this.#secondsPerToken += (seconds - this.#secondsPerToken) / Math.min(SPAN, this.nll.points.length + 1);
    this.nll.push(position, -logprob);
    // A special token has no text: the model has ended a text and starts another.
    if (text === "" && this.model.tokenizer.tokenBytes(id) === undefined) this.story.push("\n\n⁂\n\n");
    else this.story.push(text);
    if (position % MEASURED === 0) await this.measure();
  }

  /** Draws the figures of the column. */
  draw(): void {
    const { info } = this.model;
    const length = this.#session?.length ?? 0;
    const say = (selector: string, text: string) => {
      const part = this.part(selector);
      if (part.textContent !== text) part.textContent = text;
    };
    const seconds = this.#secondsPerToken;
    say(".position", count(length));
    say(".lengths", length ? `${(length / info.trainedLength).toFixed(1)} × the trained length` : "–");
    say(".speed", seconds ? count(1 / seconds) : "–");
    say(".latency", seconds ? `${(1000 * seconds).toFixed(2)} ms each` : "–");
    say(".nll", Number.isNaN(this.nll.latest) ? "–" : this.nll.latest.toFixed(2));
    say(".seed", this.#session ? `seed ${this.#session.seed}` : "–");
    const full = info.maxPositions < Infinity;
    const grown = length * this.#perToken;
    const cache = full ? grown : info.cacheBytes;
    // Under full attention the cache is allocated at once, and filled token by token.
    const room = full ? info.cacheBytes - grown : 0;
    const rest = this.#memory - info.weightBytes - cache - room;
    say(".memory", ((this.#memory - room) / 1e6).toFixed(1));
    say(".aside", full ? `of ${size(this.#memory)} set aside` : "at any length");
    for (const [name, bytes] of Object.entries({ weights: info.weightBytes, rest, cache })) {
      this.part(`.${name}`).style.width = `${(100 * bytes) / this.gauge}%`;
    }
    say(
      ".cache-text",
      full
        ? `In colour: keys and values, ${size(grown)}, growing by ${size(this.#perToken)} per token.`
        : `In colour: keys and values, ${size(cache)}. Full attention would hold ${size(grown)} by now.`,
    );
  }
}

/** A writer with Λ-attention and, if `room` is given, one with full attention for texts of that many tokens. */
export async function loadWriters(
  files: Files,
  options: LoadOptions,
  room: number | undefined,
  signal: AbortSignal,
  onProgress: (loaded: number, total: number) => void,
): Promise<Writer[]> {
  const perToken = (await inspect(files, { attention: "full", maxPositions: 1 })).plan.cacheBytes;
  const common = {
    ...options,
    signal,
    onProgress: (progress: LoadProgress) => onProgress(progress.loaded, progress.total),
  };
  // Two, because a session is restored before the current one is disposed of.
  const lambda = await load(files, { ...common, maxSessions: 2 });
  try {
    const writers = [new Writer(lambda, "Λ-attention", perToken)];
    if (room === undefined) return writers;
    const full = await load(files, { ...common, attention: "full", maxPositions: room, maxSessions: 1 });
    return [...writers, new Writer(full, "Full attention", perToken)];
  } catch (error) {
    lambda.dispose();
    throw error;
  }
}
