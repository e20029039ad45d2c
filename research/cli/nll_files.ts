import { safetensorsHeader } from "../../src/formats/safetensors.ts";
import type { FloatFile } from "./results.ts";
import type { Scored } from "./scoring.ts";

/** Values that are in memory at a time. */
const BLOCK = 65536;

/** A tensor F32 [documents, length − from] of NLLs for each variant, as a safetensors file. */
export async function* nllTensors(scored: readonly Scored[], from: number, length: number): AsyncGenerator<Uint8Array> {
  yield safetensorsHeader(
    scored.map(({ variant, files }) => ({ name: variant.name, dtype: "F32", shape: [files.length, length - from] })),
  );
  for (const file of scored.flatMap(({ files }) => files)) {
    for (let begin = 0; begin < length - from; begin += BLOCK) {
      const values = await file.read(begin, Math.min(begin + BLOCK, length - from));
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    }
  }
}

/**
 * The mean NLL of all documents at the positions [begin, end), for documents scored from `from` on. NaN if one of them
 * is.
 */
export async function meanAt(
  files: readonly FloatFile[],
  from: number,
  begin: number,
  end: number,
): Promise<Float64Array> {
  const mean = new Float64Array(end - begin);
  for (const file of files) {
    for (const [i, value] of (await file.read(begin - from, end - from)).entries()) (mean[i] as number) += value;
  }
  return mean.map((sum) => sum / files.length);
}

/** One line per position: the mean NLL of all documents under each variant. */
export async function* nllCsv(scored: readonly Scored[], from: number, length: number): AsyncGenerator<string> {
  yield `${["position", ...scored.map(({ variant }) => variant.name)].join(",")}\n`;
  for (let begin = from; begin < length; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, length);
    const means = await Promise.all(scored.map((one) => meanAt(one.files, from, begin, end)));
    const lines = Array.from({ length: end - begin }, (_, i) =>
      [begin + i, ...means.map((mean) => (mean[i] as number).toPrecision(7))].join(","),
    );
    yield `${lines.join("\n")}\n`;
  }
}
