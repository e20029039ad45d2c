import { type FileHandle, open } from "node:fs/promises";
import { LambentError, mismatch } from "../base/errors.ts";
import { type BatchLine, type Fault, keyOf, linesOf } from "./batch_lines.ts";
import { unwritable, writeAll } from "./files.ts";

/** What became of a request: the response of a route, or why there is none. */
export type Outcome = { readonly status: number; readonly body: unknown } | Fault;

/** The results of a batch: a line of JSON each, in OpenAI's format, appended as they come. It belongs to one process. */
export class BatchResults {
  readonly #path: string;
  readonly #file: FileHandle;
  /** Whether each result is an error, by its line's key. */
  readonly #done: Map<string | number, boolean>;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: FileHandle, done: Map<string | number, boolean>) {
    this.#path = path;
    this.#file = file;
    this.#done = done;
  }

  /**
   * Opens the results of the lines with these keys, to go on where an earlier process has ended: a last line that it was
   * cut off in is dropped. Throws LambentError for a file that is none or is of other lines.
   */
  static async open(path: string, keys: ReadonlySet<string | number>): Promise<BatchResults> {
    const file = await open(path, "a").catch((error) => {
      throw unwritable(path, error);
    });
    try {
      const done = new Map<string | number, boolean>();
      let whole = 0;
      for await (const { bytes, end } of linesOf(path)) {
        if (end === undefined) break;
        const { key, failed } = resultOf(new TextDecoder().decode(bytes));
        if (key === undefined || !keys.has(key) || done.has(key)) {
          const expected = "results of this batch, each once (--out names another file)";
          throw new LambentError(mismatch(`${path}: line ${done.size + 1}`, expected, key));
        }
        done.set(key, failed);
        whole = end;
      }
      await file.truncate(whole);
      return new BatchResults(path, file, done);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Results that there are. */
  get size(): number {
    return this.#done.size;
  }

  /** How many of them are errors. */
  get failed(): number {
    return [...this.#done.values()].filter(Boolean).length;
  }

  has(key: string | number): boolean {
    return this.#done.has(key);
  }

  /** Appends the result of a line. Throws LambentError if it cannot be written. */
  async add(line: BatchLine, outcome: Outcome): Promise<void> {
    const answered = "status" in outcome;
    const result = {
      id: idOf("batch_req_"),
      custom_id: line.customId ?? null,
      response: answered ? { status_code: outcome.status, request_id: idOf("req_"), body: outcome.body } : null,
      error: answered ? null : outcome,
    };
    const bytes = new TextEncoder().encode(`${JSON.stringify(result)}\n`);
    // One after the other: a write may take several calls.
    const writing = this.#writing.then(() => writeAll(this.#file, bytes));
    this.#writing = writing.catch(() => {});
    await writing.catch((error) => {
      throw unwritable(this.#path, error);
    });
    this.#done.set(keyOf(line), !answered || outcome.status !== 200);
  }

  /** What was added is on disk when this returns. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file.sync();
    await this.#file.close();
  }
}

/** The key of the line that a result is of (`keyOf`), undefined if it is none, and whether it is an error. */
function resultOf(text: string): { readonly key: string | number | undefined; readonly failed: boolean } {
  try {
    const { custom_id, response, error } = JSON.parse(text);
    const key = error?.line ?? custom_id;
    const known = typeof key === "string" || typeof key === "number";
    return { key: known ? key : undefined, failed: response?.status_code !== 200 };
  } catch {
    return { key: undefined, failed: true };
  }
}

function idOf(prefix: string): string {
  return `${prefix}${crypto.randomUUID().replaceAll("-", "")}`;
}
