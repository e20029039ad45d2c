import { join } from "node:path";
import { type GgufChoice, ggufCandidates, splitNames } from "../formats/gguf_choice.ts";
import type { Cache } from "./hub_cache.ts";

/** What is asked for beside a choice of a GGUF file: these files alone, by default a model's. */
export interface Choice extends GgufChoice {
  readonly only?: readonly string[] | undefined;
}

/** What is to be in the cache: a directory of transformers, a GGUF file with all its parts, or a few files. */
export class Wanted {
  constructor(
    private readonly cache: Cache,
    readonly choice: Choice,
  ) {}

  /** The files that are needed, if that is all. */
  get only(): readonly string[] | undefined {
    return this.isGguf ? undefined : this.choice.only;
  }

  /** Whether a GGUF file was asked for. */
  get isGguf(): boolean {
    return this.choice.file !== undefined || this.choice.quantization !== undefined;
  }

  /** The path of a model in a snapshot; undefined unless all of it that is needed is there. */
  async usable(commit: string): Promise<string | undefined> {
    const { cache } = this;
    if (this.only) return (await this.missingOf(commit, this.only)) ? undefined : cache.snapshot(commit);
    if (!this.isGguf && (await cache.missing(commit)) === undefined) return cache.snapshot(commit);
    const [only, ...others] = ggufCandidates(await cache.ggufs(commit), this.choice);
    const one = only !== undefined && others.length === 0 && (await this.holds(commit, only));
    return one ? join(cache.snapshot(commit), only) : undefined;
  }

  /**
   * Whether everything about the snapshot is known: which optional files exist, and which of the repository's GGUF files
   * is meant.
   */
  async complete(commit: string): Promise<boolean> {
    if (this.only) return (await this.usable(commit)) !== undefined;
    if (!this.isGguf) return this.cache.complete(commit);
    return this.choice.file !== undefined && (await this.holds(commit, this.choice.file));
  }

  /** Whether a snapshot has a GGUF file with all its parts. */
  async holds(commit: string, file: string): Promise<boolean> {
    for (const part of splitNames(file)) if (!(await this.cache.holds(commit, part))) return false;
    return true;
  }

  /** What a snapshot lacks to be usable, for an error. */
  async missing(commit: string): Promise<string> {
    const { file, quantization } = this.choice;
    if (file !== undefined) return file;
    if (this.only) return `${await this.missingOf(commit, this.only)}`;
    return quantization === undefined ? `${await this.cache.missing(commit)}` : `one GGUF file of ${quantization}`;
  }

  private async missingOf(commit: string, names: readonly string[]): Promise<string | undefined> {
    for (const name of names) if (!(await this.cache.holds(commit, name))) return name;
    return undefined;
  }
}
