/** A hub, an empty cache and a client for each test. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { downloadModel, type HubInternals, type HubOptions } from "../../src/sources/hub.ts";
import { HubServer, type Repo } from "./hub-server.ts";

export const SHA = "0123456789abcdef0123456789abcdef01234567";
export const VARIABLES =
  "HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME HF_ENDPOINT " +
  "HF_HUB_OFFLINE TRANSFORMERS_OFFLINE HF_HUB_DISABLE_IMPLICIT_TOKEN";

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

export function bytes(length: number, seed = 1): Uint8Array {
  const result = new Uint8Array(length);
  for (let i = 0, x = seed; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    result[i] = x >>> 24;
  }
  return result;
}

const SMALL = {
  "config.json": text({ model_type: "llama" }),
  "generation_config.json": text({ eos_token_id: 2 }),
  "tokenizer.json": bytes(3000, 5),
  "tokenizer_config.json": text({ chat: 1 }),
};
const CLUTTER = { "README.md": bytes(50), "pytorch_model.bin": bytes(999), "consolidated.safetensors": bytes(777) };

export const WEIGHTS = "model.safetensors";
export const INDEX = "model.safetensors.index.json";
export const shard = (n: number) => `model-0000${n}-of-00003.safetensors`;

/** One file of weights, with clutter beside it. */
export const small = (): Repo => ({ sha: SHA, files: { ...SMALL, [WEIGHTS]: bytes(20_000), ...CLUTTER } });

/** Three shards. */
export function sharded(map?: Record<string, string>): Repo {
  const index = text({ weight_map: map ?? { a: shard(1), b: shard(2), c: shard(2), d: shard(3) } });
  const shards = Object.fromEntries([1, 2, 3].map((n) => [shard(n), bytes(10_000 * n, n)]));
  return { sha: SHA, files: { ...SMALL, [INDEX]: index, ...shards, ...CLUTTER } };
}

export class Setup {
  readonly hub = new HubServer();
  readonly cache = mkdtempSync(join(tmpdir(), "lambent-hub-"));
  private readonly saved = VARIABLES.split(" ").map((name) => [name, process.env[name]] as const);

  async start(): Promise<this> {
    for (const [name] of this.saved) delete process.env[name];
    // Whatever token this user has is not for a test.
    process.env.HF_HOME = this.cache;
    this.hub.arrived = async (oids, length) => {
      const there = (name: string) => oids.some((oid) => name.startsWith(oid)) && this.size(name) >= length;
      for (let i = 0; i < 1000 && length > 0 && !this.parts().some(there); i++) await Bun.sleep(5);
    };
    await this.hub.start();
    this.hub.repos["org/name"] = small();
    return this;
  }

  stop(): void {
    this.hub.stop();
    rmSync(this.cache, { recursive: true, force: true });
    for (const [name, value] of this.saved) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }

  download(options: HubOptions = {}, internals: HubInternals = {}, id = "org/name"): Promise<string> {
    const defaults = { endpoint: this.hub.endpoint, cacheDir: this.cache };
    return downloadModel(id, { ...defaults, ...options }, { backoff: 1, patience: 20, ...internals });
  }

  /** The message of what must fail. */
  async failure(options: HubOptions = {}, internals: HubInternals = {}, id = "org/name"): Promise<string> {
    const error = await this.download(options, internals, id).then(
      (path) => new Error(`no failure: ${path}`),
      (reason: Error) => reason,
    );
    return `${error.name}: ${error.message}`;
  }

  path(...parts: string[]): string {
    return join(this.cache, "models--org--name", ...parts);
  }

  /** Files in the cache's folder of blobs that are not blobs yet. */
  parts(): string[] {
    const folder = this.path("blobs");
    return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".incomplete")) : [];
  }

  size(part: string): number {
    return statSync(this.path("blobs", part), { throwIfNoEntry: false })?.size ?? 0;
  }

  read(name: string): Uint8Array {
    return new Uint8Array(readFileSync(this.path("snapshots", SHA, name)));
  }

  /** The Range headers of requests for a file, "" for none; forgets all requests. */
  ranges(name: string, server = "cdn"): string[] {
    const asked = this.hub.seen.splice(0).filter(({ method }) => method === "GET");
    const all = asked.filter((one) => one.server === server && one.path.endsWith(`/${name}`));
    return all.map(({ headers }) => headers.range ?? "");
  }
}
