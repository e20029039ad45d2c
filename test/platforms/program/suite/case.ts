/** What a case is, and the few words in which it says what it expects. */
import type { LoadOptions, Model } from "lambent";
import { load } from "lambent";
import type { Host } from "../job.ts";
import type { Material } from "../material.ts";

/** The embedded models. */
export const LLAMA = "lambent-llama-5m";
export const MODELS = [LLAMA, "lambent-gptj-6m", "lambent-mpt-5m"] as const;

/** What the cases of every theme are made from. */
export interface Setting extends Material {
  readonly quick: boolean;
  /** How many of two threads can be had here. */
  readonly threads: 1 | 2;
  /** Where the models lie for those who have directories. */
  readonly directory: string | undefined;
  readonly host: Host;
}

export interface Case {
  readonly name: string;
  /** Cases of one name here, in whichever place, give one value; their own name by default. */
  readonly same?: string;
  /** Why it cannot be run here. */
  readonly absent?: string | undefined;
  /** Its value is compared with that of every other place; throws if something is wrong by itself. */
  run(): Promise<unknown>;
}

export interface CaseResult {
  readonly name: string;
  readonly same: string;
  readonly absent?: string;
  /** What went wrong. */
  readonly wrong?: string;
  readonly value?: unknown;
}

export function expect(thing: string, expected: unknown, found: unknown): void {
  const [wanted, seen] = [JSON.stringify(expected), JSON.stringify(found)];
  if (wanted !== seen) throw new Error(`${thing}: expected ${wanted}, found ${seen}`);
}

/** The address of a served model. */
export function modelUrl({ host }: Setting, name: string): string {
  return `${host.base}models/${name}`;
}

/** Loads a served model, lends it to `work`, and disposes of it. One thread by default. */
export async function withModel<T>(
  setting: Setting,
  name: string,
  options: LoadOptions,
  work: (model: Model) => Promise<T>,
): Promise<T> {
  const model = await load(modelUrl(setting, name), { threads: 1, ...options });
  try {
    return await work(model);
  } finally {
    model.dispose();
  }
}

/** max |a − b| / (1 + |b|), checked to be below 2e-4. */
export function expectClose(thing: string, expected: ArrayLike<number>, found: ArrayLike<number>): void {
  expect(`${thing}: length`, expected.length, found.length);
  for (let i = 0; i < expected.length; i++) {
    const [wanted, seen] = [expected[i] as number, found[i] as number];
    if (Math.abs(seen - wanted) <= 2e-4 * (1 + Math.abs(wanted))) continue;
    throw new Error(`${thing}: expected ${wanted} at ${i} within 2e-4 (1 + |x|), found ${seen}`);
  }
}

/** The logits after each of `ids`, f32[n][vocab] in one array, read one by one. */
export async function logitsAfterEach(model: Model, ids: readonly number[]): Promise<Float32Array> {
  const session = await model.session({ seed: 1 });
  const rows: Float32Array[] = [];
  for (const id of ids) {
    await session.append([id]);
    rows.push((await session.logits()) as Float32Array);
  }
  session.dispose();
  const all = new Float32Array(rows.length * (rows[0] as Float32Array).length);
  for (const [i, row] of rows.entries()) all.set(row, i * row.length);
  return all;
}

/** FNV-1a of bytes, 64 bits: enough to tell bits that differ. */
export function hash(data: ArrayBufferView): string {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let [high, low] = [0xcbf29ce4, 0x84222325];
  for (const byte of bytes) {
    low ^= byte;
    // Times 2^40 + 0x1b3.
    const product = (low >>> 0) * 0x1b3;
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) | 0;
    low = product | 0;
  }
  return [high, low].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/** The one-line message of the error that `action` ends in, with its name, and without the server's address. */
export async function refusal({ host }: Setting, action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    const { name, message } = error as Error;
    if (/[\r\n\u2028\u2029]/.test(message)) throw new Error(`error: expected one line, found ${message}`);
    if (!/^(Model|Option)Error$/.test(name))
      throw new Error(`error: expected ModelError or OptionError, found ${name}: ${message}`);
    return `${name}: ${message.replaceAll(host.base, "http://server/")}`;
  }
  throw new Error("expected an error, found none");
}
