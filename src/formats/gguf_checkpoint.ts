import { shortest } from "../base/decimal.ts";
import { ModelError, mismatch, show } from "../base/errors.ts";
import { type ByteSource, closeAll, type Files, versionOf } from "../base/source.ts";
import { type Checkpoint, RECALL_FILE, readBytes, recallFileOf, type StoredTensor } from "./checkpoint.ts";
import { type GgufFile, type GgufValue, readGguf } from "./gguf.ts";
import { splitNames } from "./gguf_choice.ts";
import { ggufConfig } from "./gguf_config.ts";
import { Metadata } from "./gguf_metadata.ts";
import { addedTo, hfName, rowsOf } from "./gguf_names.ts";
import { ROPE_TENSORS } from "./gguf_rope.ts";
import { tokenIds } from "./gguf_tokens.ts";

/** The most numbers of a tensor about rotary positions. */
const MOST_PAIRS = 2 ** 14;

/**
 * Opens a model in a GGUF file, or in a split set of which `file` is any part. Its metadata becomes Hugging Face's
 * config, its tensors have Hugging Face's names. Reads every header, and the tensors that scale rotary positions; the
 * files stay open for reading the others.
 */
export async function openGguf(files: Files, file: string): Promise<Checkpoint> {
  const sources: ByteSource[] = [];
  try {
    const parts: GgufFile[] = [];
    for (const name of splitNames(file)) {
      const source = await files.open(name);
      if (!source) {
        if (name !== file)
          throw new ModelError(mismatch(files.name, `${name} in the same folder as ${file}`, "no such file"));
        const others = ((await files.list?.()) ?? []).filter((other) => /\.gguf$/i.test(other)).sort();
        // All of them: mismatch would cut the list off.
        throw new ModelError(`${files.name}: expected ${file} there, found ${others.join(", ") || "no such file"}`);
      }
      sources.push(source);
      parts.push(await readGguf(source, ROPE_TENSORS));
    }
    expectSet(parts);
    return await checkpointOf(files, file, parts, storedTensors(parts));
  } catch (error) {
    await Promise.allSettled(sources.map((source) => source.close()));
    throw error;
  }
}

/** Checks that the parts say of themselves what their names say. */
function expectSet(parts: readonly GgufFile[]): void {
  for (const [i, { metadata, source }] of parts.entries()) {
    const count = metadata.get("split.count") ?? 1;
    const number = metadata.get("split.no") ?? 0;
    if ((count || 1) === parts.length && number === i) continue;
    const found = `part ${Number(number) + 1} of ${count}`;
    const expected = `part ${i + 1} of ${parts.length}, named NAME-00001-of-0000N.gguf`;
    throw new ModelError(mismatch(source.name, expected, found));
  }
  const [{ metadata, source }] = parts as [GgufFile];
  const expected = metadata.get("split.tensors.count");
  const found = parts.reduce((sum, { tensors }) => sum + tensors.size, 0);
  if (parts.length > 1 && expected !== found)
    throw new ModelError(mismatch(`${source.name}: split.tensors.count`, `${found}, as all parts have`, expected));
}

/** Bytes of a file that says how a model looks back. */
const CALIBRATION_LIMIT = 2 ** 20;

/** The tensors of all parts, by GGUF's names. */
function storedTensors(parts: readonly GgufFile[]): Map<string, StoredTensor> {
  const stored = new Map<string, StoredTensor>();
  for (const { tensors, source } of parts) {
    for (const [name, tensor] of tensors) {
      if (stored.has(name))
        throw new ModelError(mismatch(`${source.name}: tensor ${show(name)}`, "it in one part", "it in two"));
      stored.set(name, { ...tensor, source });
    }
  }
  return stored;
}

async function checkpointOf(
  files: Files,
  file: string,
  parts: readonly GgufFile[],
  stored: Map<string, StoredTensor>,
): Promise<Checkpoint> {
  const [{ metadata, source }] = parts as [GgufFile];
  const rope = new Map<string, number[]>();
  for (const name of ROPE_TENSORS) {
    const tensor = stored.get(name);
    if (tensor) rope.set(name, await numbersOf(tensor));
    stored.delete(name);
  }
  const facts = { metadata: new Metadata(metadata, source.name), tensors: stored, rope };
  const { config, names, heads } = ggufConfig(facts);
  const tensors = new Map<string, StoredTensor>();
  for (const tensor of stored.values()) {
    const name = hfName(names, tensor.name) ?? tensor.name;
    if (tensors.has(name)) throw new ModelError(mismatch(source.name, `tensor ${name} once`, "it twice"));
    // Of an empty tensor there may be any number of rows.
    const count = tensor.begin < tensor.end ? (tensor.shape[0] ?? 1) : 0;
    const rows = rowsOf(names, tensor.name, count, heads);
    tensors.set(name, { ...tensor, name, rows, added: addedTo(names, tensor.name) });
  }
  const ids = tokenIds(metadata, Number(config.vocab_size));
  const sources = parts.map((part) => part.source);
  return {
    name: source.name,
    configName: source.name,
    config: { ...config, ...ids },
    generationConfig: ids,
    tensors,
    version: versionOf(sources),
    tokenizer: tokenizerOf(metadata),
    bytes: async (name) => {
      return name === RECALL_FILE ? (await readBytes(files, recallFileOf(file), CALIBRATION_LIMIT))?.bytes : undefined;
    },
    close: () => closeAll(sources),
  };
}

const tokenizerOf = (metadata: ReadonlyMap<string, GgufValue>) =>
  new Map([...metadata].filter(([key]) => key.startsWith("tokenizer.")));

/** The numbers of a small tensor. */
async function numbersOf({ source, name, dtype, shape, begin, end }: StoredTensor): Promise<number[]> {
  const [count = 1] = shape;
  if (dtype !== "F32" || shape.length !== 1 || count > MOST_PAIRS) {
    const thing = `${source.name}: tensor ${show(name)}`;
    throw new ModelError(mismatch(thing, `at most ${MOST_PAIRS} numbers of F32`, `${dtype} ${show(shape)}`));
  }
  const values = new Float32Array(count);
  await source.readInto(new Uint8Array(values.buffer, 0, end - begin), begin);
  return Array.from(values, shortest);
}
