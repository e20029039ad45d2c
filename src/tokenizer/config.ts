import { isRecord } from "../formats/json.ts";
import type { AddedToken } from "./added.ts";
import type { Field } from "./field.ts";
import { MAX_ID } from "./vocabulary.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a tokenizer_config.json says about tokenizing. The rest of it is ignored. */
export interface TokenizerConfig {
  /** Special tokens by role, such as bos_token; only those that are set. */
  readonly named: ReadonlyMap<string, string>;
  /** More tokens that count as special. */
  readonly specials: readonly string[];
  /** added_tokens_decoder: takes precedence over tokenizer.json for the same token. */
  readonly added: readonly AddedToken[];
  readonly addBosToken: boolean | undefined;
  readonly addEosToken: boolean | undefined;
  /** By name; a single one is "default". */
  readonly chatTemplates: ReadonlyMap<string, string>;
}

const ROLES = ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];

/** Files beside tokenizer_config.json that older versions of transformers wrote, parsed. */
export interface OlderFiles {
  /** special_tokens_map.json: tokens by role. */
  readonly specialTokensMap?: Json | undefined;
  /** added_tokens.json: ids by token. */
  readonly addedTokens?: Json | undefined;
  /** chat_template.json: the chat template of a processor. */
  readonly chatTemplate?: Json | undefined;
}

/**
 * A tokenizer_config.json combined with older files. As in transformers 5, special_tokens_map.json and
 * added_tokens.json count only if it has no `added_tokens_decoder`; then the former takes precedence over it, and the
 * latter adds those tokens that `known`, the added_tokens of tokenizer.json, lacks. chat_template.json takes precedence
 * over its chat_template.
 */
export function withOlderFiles(config: Json, files: OlderFiles, known: unknown): Json {
  const template = files.chatTemplate?.chat_template ?? undefined;
  const merged: Record<string, unknown> = { ...config, ...(template === undefined ? {} : { chat_template: template }) };
  // The name in transformers 5; special_tokens_map.json has the older one.
  if ("additional_special_tokens" in merged && !merged.extra_special_tokens) {
    merged.extra_special_tokens = merged.additional_special_tokens;
    delete merged.additional_special_tokens;
  }
  if (isRecord(config.added_tokens_decoder)) return merged;
  Object.assign(merged, files.specialTokensMap);
  const texts = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]).map(contentOf);
  const specials = new Set([
    ...ROLES.flatMap((role) => texts(merged[role])),
    ...[merged.additional_special_tokens, merged.extra_special_tokens].flatMap(texts),
  ]);
  const there = new Set(texts(known));
  const added = Object.entries(files.addedTokens ?? {})
    .filter(([content]) => !there.has(content))
    .map(([content, id]) => [
      String(id),
      { content, special: specials.has(content), normalized: !specials.has(content) },
    ]);
  return added.length === 0 ? merged : { ...merged, added_tokens_decoder: Object.fromEntries(added) };
}

function contentOf(token: unknown): unknown {
  return isRecord(token) ? token.content : token;
}

/**
 * Reads a tokenizer_config.json.
 * @throws ModelError naming the field
 */
export function readConfig(config: Field): TokenizerConfig {
  config.object();
  const named = new Map<string, string>();
  for (const role of ROLES) {
    const field = config.get(role);
    if (field.present) named.set(role, tokenText(field));
  }
  // transformers 5 writes extra_special_tokens: a list, or tokens under names of their own.
  const more = ["additional_special_tokens", "extra_special_tokens"].map((key) => config.get(key));
  const specials = more.flatMap((field) => {
    if (!field.present) return [];
    return isRecord(field.value) ? Object.keys(field.value).map((key) => field.get(key)) : field.array();
  });
  const bos = config.get("add_bos_token");
  const eos = config.get("add_eos_token");
  return {
    named,
    specials: specials.map(tokenText),
    added: addedTokensDecoder(config.get("added_tokens_decoder")),
    addBosToken: bos.present ? bos.boolean() : undefined,
    addEosToken: eos.present ? eos.boolean() : undefined,
    chatTemplates: chatTemplates(config.get("chat_template")),
  };
}

/** One entry of `added_tokens`. Files have thousands: fields are created only where something is unusual. */
export function readAddedToken(token: Field, id: number): AddedToken {
  const object = token.object();
  const flag = (key: string, missing: boolean) => {
    const value = object[key];
    return typeof value === "boolean" ? value : token.get(key).flag(missing);
  };
  const { content } = object;
  const special = flag("special", false);
  return {
    id,
    content: typeof content === "string" ? content : token.get("content").string(),
    special,
    lstrip: flag("lstrip", false),
    rstrip: flag("rstrip", false),
    singleWord: flag("single_word", false),
    normalized: flag("normalized", !special),
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
