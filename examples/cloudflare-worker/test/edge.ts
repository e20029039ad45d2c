/** The worker as wrangler bundles it, in workerd, with buckets that outlive it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import config from "../wrangler.jsonc";

const EXAMPLE = fileURLToPath(new URL("..", import.meta.url));
export const MODEL = fileURLToPath(new URL("../../../models/lambent-llama-5m", import.meta.url));
/** Bundle and buckets of this process. */
const scratch = mkdtempSync(join(tmpdir(), "lambent-edge-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

/**
 * On a busy machine workerd 1.20260730 now and then spins for ever: threads that compile wait for a garbage collection, and
 * the one that is to do it pumps tasks of a sweeper that has no thread left (docs/LOG.md, 2026-11-30). So it compiles itself.
 */
process.env.MINIFLARE_WORKERD_V8_FLAGS ??= "--no-concurrent-recompilation --no-concurrent-sparkplug";

/** What `wrangler deploy` would upload: modules for Miniflare. */
function bundle() {
  const out = join(scratch, "bundle");
  const wrangler = join(EXAMPLE, "node_modules/wrangler/wrangler-dist/cli.js");
  const command = [process.execPath, wrangler, "deploy", "--dry-run", "--outdir", out];
  const env = { ...process.env, WRANGLER_SEND_METRICS: "false" };
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: EXAMPLE, env });
  if (exitCode !== 0) throw new Error(`wrangler: ${stdout}${stderr}`);
  const kernels = readdirSync(out).filter((file) => file.endsWith(".wasm"));
  return [
    { type: "ESModule" as const, path: join(out, "worker.js") },
    ...kernels.map((file) => ({ type: "CompiledWasm" as const, path: join(out, file) })),
  ];
}

let modules: ReturnType<typeof bundle> | undefined;

export interface Token {
  readonly id: number;
  readonly text: string;
  readonly position: number;
}

export interface Done {
  readonly id: string;
  readonly seed: number;
  readonly finishReason: string;
  readonly logitsHash: string;
  readonly tokens: number;
}

/** A story as it was told: its tokens, and what ended it. */
export interface Told {
  readonly tokens: readonly Token[];
  readonly done?: Done;
  readonly error?: string;
}

/** What the inspector calls them. */
type HeapUsage = Record<"usedSize" | "totalSize" | "embedderHeapUsedSize" | "backingStorageSize", number>;

/** Bytes of V8's heap, what waits for its garbage collector included, and of buffers outside of it; Wasm memory is neither. */
export interface Heap {
  readonly objects: number;
  readonly buffers: number;
}

/** One isolate with the worker. Buckets are those of `name`. */
export class Edge {
  readonly url: URL;
  readonly #miniflare: Miniflare;
  readonly #inspector: WebSocket;
  readonly #answers = new Map<number, (result: never) => void>();
  #calls = 0;
  #onPaused: () => unknown = () => {};

  private constructor(miniflare: Miniflare, url: URL, inspector: WebSocket) {
    this.#miniflare = miniflare;
    this.url = url;
    this.#inspector = inspector;
    inspector.onmessage = ({ data }) => {
      const { id, method, result } = JSON.parse(data as string);
      if (method === "Debugger.paused") this.#onPaused();
      else this.#answers.get(id)?.(result as never);
    };
  }

  static async start(name = "buckets"): Promise<Edge> {
    modules ??= bundle();
    const miniflare = new Miniflare({
      modules,
      modulesRoot: join(scratch, "bundle"),
      compatibilityDate: config.compatibility_date,
      compatibilityFlags: config.compatibility_flags,
      bindings: config.vars,
      r2Buckets: config.r2_buckets.map(({ binding }) => binding),
      r2Persist: join(scratch, name),
      cf: false,
      inspectorPort: 0,
      // Past Miniflare's own worker, which does not tell that a client has left.
      unsafeDirectSockets: [{}],
    });
    await miniflare.ready;
    const url = await miniflare.unsafeGetDirectURL();
    const inspector = new WebSocket(new URL("/core:user:", await miniflare.getInspectorURL()));
    await new Promise((resolve, reject) => {
      inspector.onopen = resolve;
      inspector.onerror = reject;
    });
    return new Edge(miniflare, url, inspector);
  }

  async stop(): Promise<void> {
    this.#inspector.close();
    await this.#miniflare.dispose();
  }

  bucket(binding: "MODELS" | "STORIES") {
    return this.#miniflare.getR2Bucket(binding);
  }

  /** Puts the embedded model into its bucket; `change` may give other bytes for a file. */
  async upload(change = (_file: string, bytes: Uint8Array) => bytes): Promise<void> {
    const models = await this.bucket("MODELS");
    for (const file of readdirSync(MODEL)) {
      await models.put(`${config.vars.MODEL}/${file}`, change(file, readFileSync(join(MODEL, file))));
    }
  }

  ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    return fetch(new URL(path, this.url), { method, body: text ?? null, signal: signal ?? null });
  }

  /** Status and error of a request that is refused. */
  async refusal(method: string, path: string, body?: unknown): Promise<[number, string]> {
    const response = await this.ask(method, path, body);
    const text = await response.text();
    return [response.status, text.startsWith("{") ? JSON.parse(text).error : text];
  }

  /** Begins a story or continues one, and reads it to its end; `onToken` may abort the request. */
  async tell(path: string, body: unknown, onToken?: (token: Token, abort: () => void) => unknown): Promise<Told> {
    const leave = new AbortController();
    const response = await this.ask("POST", path, body, leave.signal);
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    const tokens: Token[] = [];
    let told: Told = { tokens };
    try {
      for await (const { event, data } of events(response)) {
        if (event === "token") {
          tokens.push(data as Token);
          await onToken?.(data as Token, () => leave.abort());
        } else told = { ...told, ...(event === "done" ? { done: data as Done } : (data as { error: string })) };
      }
    } catch (error) {
      if (!leave.signal.aborted) throw error;
    }
    return told;
  }

  async health(): Promise<{ kernels: string; writing: number; memoryBytes: number; limits: Record<string, number> }> {
    return (await this.ask("GET", "/health")).json() as never;
  }

  #call<T>(method: string, params: object = {}): Promise<T> {
    const id = ++this.#calls;
    this.#inspector.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => this.#answers.set(id, resolve));
  }

  /** Holds the isolate whenever it comes to one of these places of the bundle, and hands over what its heap is then. */
  async watchHeap(places: readonly string[], onHeap: (heap: Heap) => void): Promise<void> {
    this.#onPaused = async () => {
      const usage = await this.#call<HeapUsage>("Runtime.getHeapUsage");
      onHeap({ objects: usage.totalSize + usage.embedderHeapUsedSize, buffers: usage.backingStorageSize });
      await this.#call("Debugger.resume");
    };
    await this.#call("Debugger.enable");
    const lines = readFileSync(join(scratch, "bundle/worker.js"), "utf8").split("\n");
    for (const place of places) {
      const [lineNumber] = [...lines.keys()].filter((line) => lines[line]?.includes(place));
      if (lineNumber === undefined) throw new Error(`bundle: expected ${place} in it, found none`);
      const columnNumber = lines[lineNumber]?.indexOf(place);
      await this.#call("Debugger.setBreakpointByUrl", { urlRegex: "/worker\\.js$", lineNumber, columnNumber });
    }
  }

  /** Bytes of objects and buffers that are still in use. */
  async heapInUse(): Promise<number> {
    let collected = false;
    const collection = this.#call("HeapProfiler.collectGarbage").then(() => (collected = true));
    // Done when the isolate has something to do.
    while (!collected) await this.health();
    await collection;
    const { usedSize, embedderHeapUsedSize, backingStorageSize } = await this.#call<HeapUsage>("Runtime.getHeapUsage");
    return usedSize + embedderHeapUsedSize + backingStorageSize;
  }

  /** The most memory that the whole process, buckets and all, has held: VmHWM, in bytes. */
  processPeak(): number {
    const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim().split(" ");
    const peaks = children.map((pid) => {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      return /^Name:\s+workerd$/m.test(status) ? Number(status.match(/VmHWM:\s+(\d+)/)?.[1]) * 1024 : 0;
    });
    return Math.max(...peaks);
  }
}

/** Server-sent events of a response. */
async function* events(response: Response): AsyncGenerator<{ event: string; data: unknown }> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true });
    const parts = text.split("\n\n");
    text = parts.pop() as string;
    for (const part of parts) {
      const [, event, data] = part.match(/^event: (\w+)\ndata: (.*)$/) as RegExpMatchArray;
      yield { event: event as string, data: JSON.parse(data as string) };
    }
  }
  if (text !== "") throw new Error(`events: expected an empty line behind the last one, found ${text}`);
}
