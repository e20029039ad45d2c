import { decodeUtf8, isRecord, parseObject } from "../formats/json.ts";
import { JsonScanner, Unexpected } from "./json_scanner.ts";
import { MergeList } from "./merger.ts";
import { isUtf8 } from "./utf8.ts";
import { MAX_ID, Vocabulary } from "./vocabulary.ts";

/** How the first line of merges.txt begins, which some files have among their merges. */
const VERSION = new TextEncoder().encode("#version");

const [COMMA, COLON, BRACKET] = [0x2c, 0x3a, 0x5b];

/**
 * A tokenizer.json from its bytes, parsed. The vocabulary and the merges of BPE, of which there may be 10^5, are read into
 * a Vocabulary and a MergeList without ever being objects and strings. Where anything about them is unusual the whole
 * file is read in the ordinary way.
 * @throws ModelError naming line and column, if the file is no JSON object
 */
export function readTokenizerJson(bytes: Uint8Array, name: string): Record<string, unknown> {
  try {
    return readQuickly(bytes, name);
  } catch {
    return parseObject(decodeUtf8(bytes, name), name);
  }
}

function readQuickly(bytes: Uint8Array, name: string): Record<string, unknown> {
  const scanner = new JsonScanner(bytes);
  let vocab: Vocabulary | undefined;
  let merges: MergeList | undefined;
  let models = 0;
  /** The file without the two. */
  let rest = "";
  let at = 0;
  const replace = <T>(read: () => T): T => {
    scanner.peek();
    rest += `${decodeUtf8(bytes.subarray(at, scanner.at), name, { ignoreBOM: true })}0`;
    const value = read();
    at = scanner.at;
    return value;
  };
  const readModel = () => {
    const key = scanner.key();
    if (key === "vocab" && !vocab) vocab = replace(() => readVocabulary(scanner));
    else if (key === "merges" && vocab && !merges) merges = replace(() => readMerges(scanner, vocab as Vocabulary));
    else if (key === "vocab" || key === "merges") throw new Unexpected();
    else scanner.skip();
  };
  scanner.list("{", () => {
    if (scanner.key() !== "model") return scanner.skip();
    if (models++ > 0) throw new Unexpected();
    scanner.list("{", readModel);
  });
  const json = parseObject(rest + decodeUtf8(bytes.subarray(at), name, { ignoreBOM: true }), name);
  const { model } = json;
  // With a prefix the product of a merge is not simply both parts.
  if (!vocab || !merges || !isRecord(model) || (model.continuing_subword_prefix ?? "") !== "") throw new Unexpected();
  return { ...json, model: { ...model, vocab, merges } };
}

function readVocabulary(scanner: JsonScanner): Vocabulary {
  const { items, stringBytes } = scanner.measure();
  const bytes = new Uint8Array(stringBytes);
  const offsets = new Uint32Array(items + 1);
  const ids = new Int32Array(items);
  let count = 0;
  let to = 0;
  scanner.list("{", () => {
    scanner.string();
    const { source, start, end } = scanner;
    // A token that starts within a character is none.
    if (end > start && ((source[start] as number) & 0xc0) === 0x80) throw new Unexpected();
    for (let from = start; from < end; from++) bytes[to++] = source[from] as number;
    scanner.expect(COLON);
    ids[count++] = scanner.integer(MAX_ID);
    offsets[count] = to;
  });
  const table = { count, bytes: bytes.subarray(0, to), offsets };
  if (count === 0 || !isUtf8(table.bytes)) throw new Unexpected();
  const vocab = Vocabulary.of(table, ids);
  if (!vocab || vocab.repeats) throw new Unexpected();
  return vocab;
}

/** Merges as ["a", "b"], or as "a b". */
function readMerges(scanner: JsonScanner, vocab: Vocabulary): MergeList {
  const { bytes } = scanner;
  // Mostly there are one to two for each token.
  const merges = new MergeList(vocab, 2 * vocab.table.count);
  scanner.list("[", () => {
    const isPair = scanner.peek() === BRACKET;
    if (!(isPair ? addPair(scanner, bytes, merges) : addText(scanner, merges))) throw new Unexpected();
  });
  return merges.complete();
}

function addPair(scanner: JsonScanner, bytes: Uint8Array, merges: MergeList): boolean {
  scanner.at++;
  scanner.string();
  const { source, start, end } = scanner;
  const unescaped = source === bytes ? undefined : source.slice(start, end);
  scanner.expect(COMMA);
  scanner.string();
  const { source: source2, start: start2, end: end2 } = scanner;
  scanner.expect(BRACKET + 2);
  if (start === end || start2 === end2) return false;
  if (source2 === bytes && !unescaped) return merges.add(bytes, start, end, start2, end2);
  // Texts with escapes are elsewhere.
  const cut = end - start;
  const both = new Uint8Array(cut + end2 - start2);
  both.set(unescaped ?? bytes.subarray(start, end));
  both.set(source2.subarray(start2, end2), cut);
  return merges.add(both, 0, cut, cut, both.length);
}

function addText(scanner: JsonScanner, merges: MergeList): boolean {
  scanner.string();
  const { source, start, end } = scanner;
  let space = start;
  while (space < end && source[space] !== 0x20) space++;
  const isVersion = end - start > 7 && VERSION.every((byte, i) => source[start + i] === byte);
  if (isVersion || space === start || space >= end - 1) return false;
  return !source.subarray(space + 1, end).includes(0x20) && merges.add(source, start, space, space + 1, end);
}
