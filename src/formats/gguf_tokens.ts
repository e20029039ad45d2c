import type { GgufValue } from "./gguf.ts";

/** Texts of tokens that end an answer or a text, whatever the metadata says of them. see: llama-vocab.cpp */
const ENDS = new Set([
  ...["<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<|eom_id|>"],
  ...["<|endoftext|>", "<|end_of_text|>", "<end_of_turn>", "<end_of_utterance>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]"],
  ...["<eos>", "</s>", "<｜end▁of▁sentence｜>"],
]);
/** Of these even those count that are not marked as control tokens; the others may be parts of a text, such as HTML. */
const SURE = /^<(\|.*\||｜.*｜|end_of_\w+)>$/;
/** The bytes that come second in these: of "|", "｜" and "e". Gemma has 6,000 other tokens that start with "<". */
const SURE_SECOND = new Set([0x7c, 0xef, 0x65]);
const LONGEST = 40;
const CONTROL = 3;

/** bos, pad and end-of-text ids of a model of `vocab` tokens, as a generation_config.json names them. */
export function tokenIds(metadata: ReadonlyMap<string, GgufValue>, vocab: number): Record<string, unknown> {
  const id = (name: string) => {
    const value = metadata.get(`tokenizer.ggml.${name}_token_id`);
    return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < vocab ? value : undefined;
  };
  const given = [id("eos"), id("eot"), id("eom")].filter((end) => end !== undefined);
  const ends = [...new Set([...given, ...endsByText(metadata)])].filter((end) => end < vocab);
  const ids = {
    bos_token_id: id("bos"),
    eos_token_id: ends.length > 0 ? ends : undefined,
    pad_token_id: id("padding"),
  };
  return Object.fromEntries(Object.entries(ids).filter(([, value]) => value !== undefined));
}

function endsByText(metadata: ReadonlyMap<string, GgufValue>): number[] {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const types = metadata.get("tokenizer.ggml.token_type");
  if (typeof tokens !== "object" || !("offsets" in tokens)) return [];
  const { count, bytes, offsets } = tokens;
  const utf8 = new TextDecoder();
  const ends: number[] = [];
  for (let i = 0; i < count; i++) {
    const [begin, end] = [offsets[i] as number, offsets[i + 1] as number];
    const first = bytes[begin];
    // "<", "[" or "_"
    if (end - begin > LONGEST || (first !== 0x3c && first !== 0x5b && first !== 0x5f)) continue;
    const control = ArrayBuffer.isView(types) && (types as Int32Array)[i] === CONTROL;
    if (!control && !SURE_SECOND.has(bytes[begin + 1] as number)) continue;
    const text = utf8.decode(bytes.subarray(begin, end));
    if (ENDS.has(text) && (control || SURE.test(text))) ends.push(i);
  }
  return ends;
}
