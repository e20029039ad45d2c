/**
 * Reads odd safetensors files here and by the reference reader, and compares verdicts, names, dtypes, shapes and bytes:
 *
 *     bun test/wild/safetensors.ts [files] [seed]
 *
 * --write keeps what the reference makes of the default ones in safetensors.json, which `bun test` holds the reader against.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError } from "../../src/base/errors.ts";
import { parseSafetensors } from "../../src/formats/safetensors.ts";
import { oddFile } from "./odd_safetensors.ts";
import { python } from "./python.ts";

/** [name, dtype, shape, data in base64] of every tensor, by name; null: refused. */
export type Outcome = [string, string, number[], string][] | null;

const FILES = 1000;
const SEED = 3;

/** What is read of a file here. */
export function outcomeOf(file: Uint8Array): Outcome {
  try {
    const { tensors } = parseSafetensors(file, "x");
    return sorted(
      [...tensors.values()].map(({ name, dtype, shape, begin, end }): [string, string, number[], string] => {
        return [name, dtype, [...shape], Buffer.from(file.subarray(begin, end)).toString("base64")];
      }),
    );
  } catch (error) {
    if (error instanceof ModelError) return null;
    throw error;
  }
}

/** A few characters for an outcome. */
export function digest(outcome: Outcome): string {
  return outcome ? new Bun.CryptoHasher("sha256").update(JSON.stringify(outcome)).digest("hex").slice(0, 6) : "-";
}

function sorted<T extends [string, ...unknown[]]>(tensors: T[]): T[] {
  return tensors.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function compare(files: readonly Uint8Array[], references: readonly Outcome[]): Outcome[] {
  const counts = { accepted: 0, refused: 0, "refused here alone, for sizes from 2^53 on": 0, different: 0 };
  const outcomes = files.map((file, i) => {
    const reference = references[i] as Outcome;
    const wanted = reference && sorted(reference);
    const found = outcomeOf(file);
    const text = new TextDecoder().decode(file);
    if (JSON.stringify(found) === JSON.stringify(wanted)) counts[found ? "accepted" : "refused"]++;
    // The one thing that the reader knows and does not do: such sizes are no numbers in JavaScript.
    else if (!found && /\d{16}/.test(text)) counts["refused here alone, for sizes from 2^53 on"]++;
    else {
      counts.different++;
      console.log(`${i}: ${text}\n  reference ${JSON.stringify(wanted)}\n  here      ${JSON.stringify(found)}`);
    }
    return found && wanted;
  });
  const summary = Object.entries(counts).map(([what, n]) => `${n} ${what}`);
  console.log(`${files.length} files: ${summary.join(", ")}`);
  if (counts.different) process.exit(1);
  return outcomes;
}

if (import.meta.main) {
  const words = process.argv.slice(2);
  const [count = FILES, seed = SEED] = words.filter((word) => /^\d+$/.test(word)).map(Number);
  const files = Array.from({ length: count }, (_, i) => oddFile(seed, i));
  const lines = files.map((file) => `${Buffer.from(file).toString("base64")}\n`).join("");
  const references = python("safetensors_reference.py", [], lines).trim().split("\n");
  const outcomes = compare(
    files,
    references.map((line) => JSON.parse(line)),
  );
  if (words.includes("--write")) {
    const golden = { seed, outcomes: outcomes.map(digest).join(" ") };
    writeFileSync(join(import.meta.dir, "safetensors.json"), `${JSON.stringify(golden, null, 2)}\n`);
  }
}
