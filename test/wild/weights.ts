/**
 * Loads checkpoints that are stored in odd ways (without the base model's prefix, in F64, in shards that disagree with their
 * index) here and by transformers, and compares logits; what transformers would make weights up for is to be refused:
 *
 *     bun test/wild/weights.ts
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModelError } from "../../src/base/errors.ts";
import { deviation, logitsOf, openEngine } from "../setup.ts";
import { python } from "./python.ts";

/** Sums in another order: the logits differ by this at most. */
const MOST = 1e-5;

const folder = mkdtempSync(join(tmpdir(), "weights-"));
const output = python("weights_reference.py", [folder]).trim().split("\n").at(-1) as string;
const { ids, logits }: { ids: number[]; logits: Record<string, number[][] | null> } = JSON.parse(output);
const counts = { equal: 0, "refused by both": 0, different: 0 };
for (const [name, wanted] of Object.entries(logits)) {
  let found: Float32Array[] | undefined;
  let note = "";
  try {
    found = await logitsOf(await openEngine(join(folder, name), { dtype: "f32" }), ids);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    note = error.message;
  }
  const worst = found && wanted && Math.max(...found.map((row, i) => deviation(row, wanted[i] as number[])));
  if (!found && !wanted) counts["refused by both"]++;
  else if (worst !== undefined && worst !== null && worst < MOST) counts.equal++;
  else {
    counts.different++;
    console.log(`${name}: ${note || (wanted ? `off by ${worst}` : "not refused")}`);
  }
}
rmSync(folder, { recursive: true });
const summary = Object.entries(counts).map(([what, n]) => `${n} ${what}`);
console.log(`${Object.keys(logits).length} checkpoints: ${summary.join(", ")}`);
if (counts.different) process.exit(1);
