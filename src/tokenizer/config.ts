import type { AddedToken } from "./added.ts";
import { MAX_ID } from "./bpe.ts";
import type { Field } from "./field.ts";

/** What a tokenizer_config.json says that concerns tokenizing. Whatever else is in it is ignored. */
export interface TokenizerConfig {
  /** Special tokens by role, such as bos_token; only those that are set. */
  readonly named: ReadonlyMap<string, string>;
  /** Further tokens that count as special. */
  readonly specials: readonly string[];
  /** added_tokens_decoder: it overrides what tokenizer.json says of the same token. */
  readonly added: readonly AddedToken[];
  readonly addBosToken: boolean | undefined;
  readonly addEosToken: boolean | undefined;
  /** By name; a single one is "default". */
  readonly chatTemplates: ReadonlyMap<string, string>;
}

const ROLES = ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];

/** @throws ModelError naming the field */
export function readConfig(config: Field): TokenizerConfig {
  config.object();
  const named = new Map<string, string>();
  for (const role of ROLES) {
    const field = config.get(role);
    if (field.present) named.set(role, tokenText(field));
  }
  const more = config.get("additional_special_tokens");
  const bos = config.get("add_bos_token");
  const eos = config.get("add_eos_token");
  return {
    named,
    specials: more.present ? more.array().map(tokenText) : [],
    added: addedTokensDecoder(config.get("added_tokens_decoder")),
    addBosToken: bos.present ? bos.boolean() : undefined,
    addEosToken: eos.present ? eos.boolean() : undefined,
    chatTemplates: chatTemplates(config.get("chat_template")),
  };
}

/** One entry of `added_tokens`. */
export function readAddedToken(token: Field, id: number): AddedToken {
  const special = token.get("special").flag(false);
  return {
    id,
    content: token.get("content").string(),
    special,
    lstrip: token.get("lstrip").flag(false),
    rstrip: token.get("rstrip").flag(false),
    singleWord: token.get("single_word").flag(false),
    normalized: token.get("normalized").flag(!special),
  };
}

/** A token is written as a string or as an object with `content`. */
function tokenText(field: Field): string {
  return typeof field.value === "string" ? field.value : field.get("content").string();
}

function addedTokensDecoder(field: Field): AddedToken[] {
  if (!field.present) return [];
  return Object.keys(field.object()).map((key) => {
    if (!/^\d{1,8}$/.test(key) || Number(key) > MAX_ID) field.get(key).fail(`a key that is an integer in 0..${MAX_ID}`);
    return readAddedToken(field.get(key), Number(key));
  });
}

function chatTemplates(field: Field): Map<string, string> {
  if (!field.present) return new Map();
  if (typeof field.value === "string") return new Map([["default", field.value]]);
  return new Map(field.array().map((item) => [item.get("name").string(), item.get("template").string()]));
}
