import { safetensorsHeader } from "../../src/formats/safetensors.ts";
import type { FloatFile } from "./results.ts";
import type { Scored } from "./scoring.ts";

/** Values that are in memory at a time. */
const BLOCK = 65536;

/** A tensor F32 [documents, tokens] of NLLs for each variant, as a safetensors file. */
export async function* nllTensors(scored: readonly Scored[], tokens: number): AsyncGenerator<Uint8Array> {
  yield safetensorsHeader(
    scored.map(({ variant, files }) => ({ name: variant.name, dtype: "F32", shape: [files.length, tokens] })),
  );
  for (const file of scored.flatMap(({ files }) => files)) {
    for (let begin = 0; begin < tokens; begin += BLOCK) {
      const values = await file.read(begin, Math.min(begin + BLOCK, tokens));
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    }
  }
}

/** The mean NLL of all documents at scored tokens begin to end − 1. NaN if one of them is. */
export async function meanAt(files: readonly FloatFile[], begin: number, end: number): Promise<Float64Array> {
  const mean = new Float64Array(end - begin);
  for (const file of files) {
    for (const [i, value] of (await file.read(begin, end)).entries()) (mean[i] as number) += value;
  }
  return mean.map((sum) => sum / files.length);
}

/** One line per position that is scored: the mean NLL of all documents under each variant. */
export async function* nllCsv(scored: readonly Scored[], positions: Uint32Array): AsyncGenerator<string> {
  yield `${["position", ...scored.map(({ variant }) => variant.name)].join(",")}\n`;
  for (let begin = 0; begin < positions.length; begin += BLOCK) {
    const some = positions.subarray(begin, begin + BLOCK);
    const means = await Promise.all(scored.map((one) => meanAt(one.files, begin, begin + some.length)));
    const lines = Array.from(some, (position, i) =>
      [position, ...means.map((mean) => (mean[i] as number).toPrecision(7))].join(","),
    );
    yield `${lines.join("\n")}\n`;
  }
}
