/** Generations that go on where they were cut off, in another process as well. */
import { ModelError } from "../base/errors.ts";
import { decodeUtf8, parseObject } from "../formats/json.ts";
import { readParts, writeParts } from "../formats/parts.ts";
import type { GeneratedToken } from "./generation.ts";

/**
 * Where a generation keeps how far it has come. If it is cut off, an equal one (prompt, options and seed) by the same model
 * goes on from there, with the same tokens; its logitsHash is of those that were chosen since, and no tokens count as cached.
 */
export interface Resume {
  /** What was put last; undefined: nothing, so that the generation starts at its prompt. */
  get(): Promise<Uint8Array | undefined>;
  /** Takes a snapshot of the session and the tokens so far. The generation waits for it. */
  put(bytes: Uint8Array<ArrayBuffer>): Promise<unknown> | unknown;
  /** The least seconds between two puts, and before the first one; 10 by default. */
  readonly seconds?: number | undefined;
}

/** How far a generation had come. */
export interface Kept {
  readonly tokens: readonly GeneratedToken[];
  /** A snapshot of its session. */
  readonly state: Uint8Array;
}

const NAME = "kept generation";
const VERSION = 1;

/** What was kept; undefined where nothing was, or what is there is of another version or damaged. */
export async function keptBy(resume: Resume): Promise<Kept | undefined> {
  const bytes = await resume.get();
  if (!bytes) return undefined;
  try {
    const { json, state } = readParts(bytes, NAME, ["json", "state"]);
    const { version, tokens } = parseObject(decodeUtf8(json, NAME), NAME);
    if (version !== VERSION) return undefined;
    return { tokens: tokens as GeneratedToken[], state };
  } catch (error) {
    if (error instanceof ModelError) return undefined;
    throw error;
  }
}

/** Keeps how far a generation has come, now and then. */
export class Keeper {
  readonly #resume: Resume;
  readonly #tokens: GeneratedToken[];
  #last = performance.now();

  /** `before`: the tokens that it starts with. */
  constructor(resume: Resume, before: readonly GeneratedToken[]) {
    this.#resume = resume;
    this.#tokens = [...before];
  }

  /** Takes the token that was chosen, after which `snapshot` is taken. */
  async add(token: GeneratedToken, snapshot: () => Promise<Uint8Array>): Promise<void> {
    this.#tokens.push(token);
    const { seconds = 10 } = this.#resume;
    if (performance.now() - this.#last < 1000 * seconds) return;
    const json = { version: VERSION, tokens: this.#tokens };
    const parts = { json: new TextEncoder().encode(JSON.stringify(json)), state: await snapshot() };
    await this.#resume.put(writeParts(parts));
    this.#last = performance.now();
  }
}
