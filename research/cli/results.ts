import { createHash } from "node:crypto";
import { mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LambentError, mismatch, OptionError, show } from "../../src/base/errors.ts";
import { VERSION } from "../../src/base/version.ts";
import { appendLine, type Content, unwritable, writeAll, writeWhole } from "../../src/cli/files.ts";
import { warn } from "../../src/cli/streams.ts";

/** What JSON can represent; numbers that are not finite become null. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/**
 * The directory of a command's results, with its journal until it is done: an interrupted command, run again with the
 * same parameters, resumes after the last unit of work in the journal. It belongs to one process at a time.
 */
export class Results {
  readonly directory: string;
  /** Where units store what is too large for the journal; removed when the command is done. */
  readonly scratch: string;
  readonly #journal: string;
  readonly #units: Map<string, Json>;

  private constructor(directory: string, scratch: string, units: Map<string, Json>) {
    this.directory = directory;
    this.scratch = scratch;
    this.#journal = join(scratch, "journal.jsonl");
    this.#units = units;
  }

  /**
   * Opens `directory` for the command `name`, or resumes from its journal. Throws OptionError if that was started with
   * other parameters or by another version, unless `restart` says to start over, or if another process is using it.
   */
  static async open(directory: string, name: string, parameters: Json, restart = false): Promise<Results> {
    const scratch = join(directory, `${name}.partial`);
    const first = JSON.stringify({ parameters: { lambent: VERSION, ...(parameters as object) } });
    try {
      await mkdir(scratch, { recursive: true });
      await lock(join(scratch, LOCK));
      const journal = join(scratch, "journal.jsonl");
      const text = restart ? "" : await readFile(journal, "utf8").catch(() => "");
      // A line that was cut off by a kill has no line end.
      const [begin = "", ...lines] = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
      const kept = lines.filter((line) => line !== "");
      if (kept.length > 0 && begin !== first) {
        const expected = "an interrupted run with the same parameters (--restart starts over)";
        throw new OptionError(
          mismatch(directory, expected, difference(parsed(begin, journal), parsed(first, journal))),
        );
      }
      const entries = kept.map((line) => entry(line, journal));
      await writeWhole(journal, [first, ...kept, ""].join("\n"));
      return new Results(directory, scratch, new Map(entries));
    } catch (error) {
      throw unwritable(directory, error);
    }
  }

  /** Units that are done. */
  get units(): number {
    return this.#units.size;
  }

  /** The result of a unit, if it is done. */
  get(unit: string): Json | undefined {
    return this.#units.get(unit);
  }

  /** Stores the result of a unit: on disk when this returns. */
  async keep(unit: string, found: Json): Promise<void> {
    this.#units.set(unit, found);
    await appendLine(this.#journal, JSON.stringify([unit, found], marked)).catch((error) => {
      throw unwritable(this.directory, error);
    });
  }

  /** Writes a file of the results atomically; `undefined` removes it. */
  async write(file: string, content: Content | undefined): Promise<void> {
    if (content === undefined) return;
    await writeWhole(join(this.directory, file), content);
  }

  /** Releases the directory for other processes. */
  async close(): Promise<void> {
    await rm(join(this.scratch, LOCK), { force: true });
  }

  /** Removes the journal: everything is in the files. */
  async end(): Promise<void> {
    // First of all, because the data that it refers to goes next.
    await rm(this.#journal);
    await rm(this.scratch, { recursive: true });
  }
}

/** Opens the results of a command for `work`, and says how to resume if that is interrupted; see Results.open */
export async function withResults<T>(
  { out, restart }: { readonly out: string; readonly restart?: boolean },
  name: string,
  parameters: Json,
  signal: AbortSignal,
  work: (results: Results) => Promise<T>,
): Promise<T> {
  const results = await Results.open(out, name, parameters, restart);
  if (results.units) warn(`going on: ${results.units} units of work are done (--restart starts over)`, "");
  try {
    const done = await work(results);
    await results.end();
    return done;
  } catch (error) {
    if (signal.aborted) {
      warn(`interrupted: ${results.units} units of work are kept in ${results.scratch}; the same command goes on`, "");
    }
    throw error;
  } finally {
    await results.close();
  }
}

/** Values of a unit as they are computed, in a file of its own: f32, little-endian. */
export class FloatFile {
  readonly #path: string;
  #file: Awaited<ReturnType<typeof open>> | undefined;

  constructor(results: Results, unit: string) {
    this.#path = join(results.scratch, createHash("sha256").update(unit).digest("hex").slice(0, 16));
  }

  async append(values: Float32Array): Promise<void> {
    try {
      this.#file ??= await open(this.#path, "w");
      await writeAll(this.#file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    } catch (error) {
      throw unwritable(this.#path, error);
    }
  }

  async close(): Promise<void> {
    await this.#file?.datasync();
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Values from `begin` to before `end`. Throws LambentError if they are missing. */
  async read(begin: number, end: number): Promise<Float32Array> {
    const file = await open(this.#path).catch(() => undefined);
    try {
      const bytes = new Uint8Array(4 * (end - begin));
      const bytesRead = (await file?.read(bytes, 0, bytes.length, 4 * begin))?.bytesRead ?? 0;
      if (bytesRead === bytes.length) return new Float32Array(bytes.buffer);
      throw new LambentError(mismatch(this.#path, `${end} numbers (--restart starts over)`, begin + (bytesRead >> 2)));
    } finally {
      await file?.close();
    }
  }
}

const LOCK = "lock";

/** Marks a directory as used by this process. Throws OptionError if another running process uses it. */
async function lock(path: string): Promise<void> {
  for (;;) {
    try {
      return await writeFile(path, `${process.pid}`, { flag: "wx" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const owner = Number(await readFile(path, "utf8").catch(() => Number.NaN));
    if (owner !== process.pid && isRunning(owner)) {
      const found = `process ${owner} (if that is another program, remove ${path})`;
      throw new OptionError(mismatch(dirname(path), "no other command at work there", found));
    }
    await rm(path, { force: true });
  }
}

function isRunning(process_: number): boolean {
  try {
    return process.kill(process_, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** How a journal represents numbers that JSON cannot. */
function marked(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? { number: `${value}` } : value;
}

function unmarked(_: string, value: unknown): unknown {
  const { number } = (value ?? {}) as { readonly number?: unknown };
  return typeof number === "string" ? Number(number) : value;
}

/** The content of a line of a journal. Throws LambentError if it is damaged. */
function entry(line: string, journal: string): [string, Json] {
  const found = parsed(line, journal);
  if (Array.isArray(found) && found.length === 2 && typeof found[0] === "string") return found as [string, Json];
  throw new LambentError(mismatch(journal, "units of work (--restart starts over)", line));
}

/** A parsed line of a journal. Throws LambentError if it is damaged. */
function parsed(line: string, journal: string): unknown {
  try {
    return JSON.parse(line, unmarked);
  } catch {
    throw new LambentError(mismatch(journal, "lines of JSON (--restart starts over)", line));
  }
}

/** The first parameter that differs. */
function difference(found: unknown, expected: unknown): string {
  const parametersOf = (line: unknown) => (line as { parameters?: Readonly<Record<string, Json>> }).parameters ?? {};
  const before = parametersOf(found);
  const now = parametersOf(expected);
  const key = [...new Set([...Object.keys(before), ...Object.keys(now)])].find(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]),
  );
  return key === undefined ? "another" : `one with ${key} ${show(before[key])}`;
}

/**
 * Rows as CSV: a header of the keys of the first, then the values; infinite or missing values are empty, NaN is NaN.
 */
export function csv(rows: readonly Readonly<Record<string, string | number | undefined>>[]): string {
  const keys = Object.keys(rows[0] ?? {});
  const lines = rows.map((row) => keys.map((key) => cell(row[key])).join(","));
  return [keys.join(","), ...lines, ""].join("\n");
}

function cell(value: string | number | undefined): string {
  const text = value === undefined ? "" : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
