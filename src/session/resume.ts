/** Generations that go on where they were cut off, in another process as well. */
import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { abortable } from "../base/tick.ts";
import { decodeUtf8, parseObject } from "../formats/json.ts";
import { readParts, writeParts } from "../formats/parts.ts";
import type { GeneratedToken } from "./generation.ts";

/**
 * Where a generation keeps how far it has come. If it is cut off, an equal one (prompt, options and seed) by the same model
 * goes on from there, with the same tokens; its logitsHash and times are of those that were chosen since, and no tokens
 * count as cached. What is kept of another prompt, model or seed is as good as nothing.
 */
export interface Resume {
  /** What was put last; undefined: nothing, so that the generation starts at its prompt. */
  get(): Promise<Uint8Array | undefined>;
  /** Takes a snapshot of the session and the tokens so far. The generation waits for it. */
  put(bytes: Uint8Array<ArrayBuffer>): Promise<unknown> | unknown;
  /** The least seconds between two puts, and before the first one; 10 by default. */
  readonly seconds?: number | undefined;
}

const NAME = "kept generation";
const VERSION = 1;

/** What a generation is told by. */
export interface Identity {
  /** Model, prompt, and a seed that was asked for. */
  readonly of: string;
  /** The seed that it has, if that is known. */
  readonly seed?: number | undefined;
}

/** A generation's tokens so far, which it keeps now and then. */
export class Keeper {
  readonly #resume: Resume;
  readonly #of: string;
  readonly #seed: number | undefined;
  #tokens: GeneratedToken[];
  #state: Uint8Array | undefined;
  #last = performance.now();

  private constructor(resume: Resume, { of, seed }: Identity, kept: Kept | undefined) {
    this.#resume = resume;
    this.#of = of;
    this.#seed = kept?.seed ?? seed;
    this.#tokens = kept ? [...kept.tokens] : [];
    this.#state = kept?.state;
  }

  /** With what was kept of this generation. Throws OptionError for what is no Resume; undefined without one. */
  static async open(resume: Resume | undefined, identity: Identity, signal?: AbortSignal): Promise<Keeper | undefined> {
    if (resume === undefined) return undefined;
    checkResume(resume);
    const bytes = await abortable(Promise.resolve(resume.get()), signal);
    return new Keeper(resume, identity, keptIn(bytes, identity.of));
  }

  /** Those so far. */
  get tokens(): readonly GeneratedToken[] {
    return this.#tokens;
  }

  /** A snapshot of the session behind them, if there are any. */
  get state(): Uint8Array | undefined {
    return this.#state;
  }

  /** The seed of the generation that these are of. */
  get seed(): number | undefined {
    return this.#seed;
  }

  /** What was kept is of no use. */
  forget(): void {
    this.#tokens = [];
    this.#state = undefined;
  }

  /** Takes the token that was chosen, after which `snapshot` is taken. Throws the signal's reason where that comes first. */
  async add(token: GeneratedToken, snapshot: () => Promise<Uint8Array>, signal?: AbortSignal): Promise<void> {
    this.#tokens.push(token);
    const { seconds = 10 } = this.#resume;
    if (performance.now() - this.#last < 1000 * seconds) return;
    const json = { version: VERSION, of: this.#of, seed: this.#seed, tokens: this.#tokens };
    const parts = { json: new TextEncoder().encode(JSON.stringify(json)), state: await snapshot() };
    await abortable(Promise.resolve(this.#resume.put(writeParts(parts))), signal);
    this.#last = performance.now();
  }
}

function checkResume(resume: Resume): void {
  const { get, put, seconds = 10 } = Object(resume) as Resume;
  if (typeof get !== "function" || typeof put !== "function")
    throw new OptionError(mismatch("resume", "an object with get and put", resume));
  if (!(seconds >= 0)) throw new OptionError(mismatch("resume.seconds", "a number from 0 on", seconds));
}

interface Kept {
  readonly tokens: readonly GeneratedToken[];
  readonly state: Uint8Array;
  readonly seed: number | undefined;
}

/** What is in it; undefined where that is of another generation or version, or damaged. */
function keptIn(bytes: Uint8Array | undefined, identity: string): Kept | undefined {
  if (!ArrayBuffer.isView(bytes)) return undefined;
  try {
    const { json, state } = readParts(bytes, NAME, ["json", "state"]);
    const { version, of, seed, tokens } = parseObject(decodeUtf8(json, NAME), NAME);
    if (version !== VERSION || of !== identity || !areTokens(tokens)) return undefined;
    return { tokens, state, seed: typeof seed === "number" ? seed : undefined };
  } catch (error) {
    if (error instanceof ModelError) return undefined;
    throw error;
  }
}

/** Whether these are tokens at positions one behind the other. */
function areTokens(value: unknown): value is readonly GeneratedToken[] {
  if (!Array.isArray(value) || value.length === 0) return false;
  const first = (value[0] as GeneratedToken | null)?.position;
  return value.every((token: GeneratedToken | null, i) => {
    return Number.isInteger(token?.id) && typeof token?.text === "string" && token.position === (first as number) + i;
  });
}
