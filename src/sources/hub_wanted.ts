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
    if (only === undefined || others.length > 0) return undefined;
    for (const part of splitNames(only)) if (!(await cache.holds(commit, part))) return undefined;
    return join(cache.snapshot(commit), only);
  }

  /** Whether everything about the snapshot is known, including which optional files exist. */
  async complete(commit: string): Promise<boolean> {
    return this.isGguf || this.only ? (await this.usable(commit)) !== undefined : this.cache.complete(commit);
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
