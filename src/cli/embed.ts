import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { shortest } from "../base/decimal.ts";
import { LambentError, mismatch, OptionError } from "../base/errors.ts";
import { POOLINGS, type Pooling } from "../engine/embed.ts";
import { decodeUtf8 } from "../formats/json.ts";
import { safetensorsHeader } from "../formats/safetensors.ts";
import { programOf } from "../models/index.ts";
import { type Program, windowsOf } from "../models/program.ts";
import { resolvePolicy, sharedWindow } from "../plan/policy.ts";
import { LocalService } from "../service/local.ts";
import { type LoadOptions, loadCalibrated, withCheckpoint } from "../session/load.ts";
import { requireTokenizer } from "../session/load_tokenizer.ts";
import { writeWhole } from "./files.ts";
import { DEFAULT_MODEL, loadOptions, type ModelFlags, modelOptions, whole } from "./options.ts";
import { Stages } from "./progress.ts";
import { readStdin, warnUnused, write } from "./streams.ts";

interface EmbedFlags extends ModelFlags {
  readonly lines?: string;
  readonly pooling: Pooling;
  readonly normalize: boolean;
  readonly dimensions?: number;
  readonly out?: string;
}

/** Adds the command `embed`; `signal` aborts it. */
export function addEmbed(program: Command, signal: AbortSignal): void {
  const command = program
    .command("embed")
    .description("print a vector for each text, as a line of JSON")
    .argument("[texts...]", "texts (or --lines, or the lines of standard input)")
    .option("--lines <path>", "a file with one text per line");
  modelOptions(command)
    .addOption(
      new Option("--pooling <how>", "hidden state of the last token, or mean of all").choices(POOLINGS).default("last"),
    )
    .option("--no-normalize", "leave the vectors as long as they are")
    .option("--dimensions <n>", "first numbers of each that are kept, for models trained so (default: all)", whole(1))
    .option("--out <file>", "write them to a .npy or .safetensors file instead: F32 [texts, dimensions]")
    .action((texts: string[], flags: EmbedFlags) => embed(texts, flags, signal));
}

async function embed(given: readonly string[], flags: EmbedFlags, signal: AbortSignal): Promise<void> {
  const { pooling, normalize, dimensions, out } = flags;
  if (out !== undefined && !/\.(npy|safetensors)$/.test(out))
    throw new OptionError(mismatch("--out", "a name that ends in .npy or .safetensors", out));
  const texts = [...given, ...(await linesOf(given, flags.lines, signal))];
  if (texts.length === 0) throw new OptionError(mismatch("embed", "a text", "none"));
  const where = flags.model ?? DEFAULT_MODEL;
  const stages = new Stages();
  const options = loadOptions(flags, signal, stages);
  await withCheckpoint(where, options, async (checkpoint, runtime) => {
    const tokenizer = await requireTokenizer(checkpoint);
    const ids = texts.map((text) => tokenizer.encode(text));
    const longest = ids.reduce((most, { length }) => Math.max(most, length), 1);
    const program = programOf(checkpoint.config, checkpoint.configName);
    const engine = await loadCalibrated(checkpoint, runtime, { ...room(options, program, longest), head: false });
    warnUnused(where, engine.unused);
    const onProgress = (done: number, total: number) => stages.update("embedding", done, total);
    const vectors = await new LocalService(engine).embed(ids, { pooling, normalize, dimensions, signal, onProgress });
    stages.end();
    if (out !== undefined) return writeWhole(out, contentOf(out, vectors, texts.length));
    const size = vectors.length / texts.length;
    for (const [index, { length: tokens }] of ids.entries()) {
      const embedding = Array.from(vectors.subarray(index * size, (index + 1) * size), shortest);
      await write(`${JSON.stringify({ index, tokens, embedding })}\n`);
    }
  });
}

/** Texts of a file or of standard input, one per line; empty lines are none. */
async function linesOf(given: readonly string[], file: string | undefined, signal: AbortSignal): Promise<string[]> {
  if (file === undefined && given.length > 0) return [];
  const text = file === undefined ? await readStdin(signal) : decodeUtf8(await bytesOf(file), file);
  return (text ?? "").split(/\r?\n/).filter((line) => line !== "");
}

function bytesOf(file: string): Promise<Uint8Array> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new LambentError(mismatch(file, "a readable file", error.code ?? error.message));
  });
}

/** A session that holds the longest text and no more, where the policy would remember more; no vector depends on it. */
function room(options: LoadOptions, program: Program, longest: number): LoadOptions {
  const policy = resolvePolicy(options, program.trainedLength, sharedWindow(windowsOf(program)), program.layers.length);
  const { nLocal, limit, recall } = policy;
  if (recall > 0) return options;
  if (nLocal === Infinity) return { ...options, maxPositions: options.maxPositions ?? longest };
  return { ...options, nLocal: Math.min(nLocal, longest), limit: limit === Infinity ? undefined : limit };
}

/** A file of vectors f32[count, size]. see: numpy.lib.format, version 1.0 */
async function* contentOf(name: string, vectors: Float32Array, count: number): AsyncGenerator<Uint8Array> {
  const shape = [count, vectors.length / count];
  if (name.endsWith(".safetensors")) yield safetensorsHeader([{ name: "embeddings", dtype: "F32", shape }]);
  else {
    const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
    const padded = `${text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11)}\n`;
    yield Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, padded.length & 255, padded.length >> 8);
    yield new TextEncoder().encode(padded);
  }
  yield new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength);
}
