import { ModelError, mismatch, OptionError, show } from "../base/errors.ts";
import { type AddedToken, AddedTokens } from "./added.ts";
import { readAddedToken, readConfig, type TokenizerConfig } from "./config.ts";
import { compileDecoder, type Decoder } from "./decoder.ts";
import { Field } from "./field.ts";
import { compileModel } from "./model.ts";
import { compileNormalizer, type Normalizer } from "./normalizer.ts";
import { compilePostProcessor, type Frame } from "./postprocessor.ts";
import { compilePreTokenizer, type PreTokenizer } from "./pretokenizer.ts";
import { TextStream } from "./stream.ts";
import type { TokenModel } from "./token_model.ts";
import { MAX_ID, type Vocabulary } from "./vocabulary.ts";

/** The most special tokens that a tokenizer may add to every text; thousands are a mistake or an attack. */
const MOST_AROUND = 1000;

/**
 * Text ↔ token ids, according to a Hugging Face tokenizer.json.
 *
 * tokenizer.json is followed as it is; other files are first converted to one (convert.ts). tokenizer_config.json
 * provides the special tokens, `add_bos_token`, `add_eos_token` and the chat templates. `clean_up_tokenization_spaces`,
 * `legacy` and `add_prefix_space` of that file are ignored: the first would change decoded text, the others are about
 * older formats.
 */
export class Tokenizer {
  /** Its name in errors. */
  readonly name: string;
  /** The least number of rows of an embedding: the highest id + 1. */
  readonly vocabSize: number;
  /** How tokens become bytes and text. */
  readonly decoder: Decoder;
  /** Texts of the special tokens by role (bos_token, pad_token …), as chat templates see them. */
  readonly specialTokens: ReadonlyMap<string, string>;
  /** Chat templates by name. */
  readonly chatTemplates: ReadonlyMap<string, string>;

  readonly #model: TokenModel;
  readonly #normalize: Normalizer;
  readonly #cut: PreTokenizer;
  readonly #frame: Frame;
  /** Matched in the raw text. */
  readonly #addedRaw: AddedTokens;
  /** Matched in the normalized text. */
  readonly #addedNormalized: AddedTokens;
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #addedIds: ReadonlyMap<string, number>;

  /**
   * @param json tokenizer.json, parsed
   * @param config tokenizer_config.json, parsed, or {}
   * @param name what errors call it, a path or URL
   * @param options chatTemplate: the text of chat_template.jinja, which takes precedence
   * @throws ModelError naming the field, where something is malformed or of a kind that is not supported
   */
  constructor(json: unknown, config: unknown, name: string, options: { chatTemplate?: string | undefined } = {}) {
    this.name = name;
    const root = new Field(json, name);
    const settings = readConfig(new Field(config, `${name}: tokenizer_config`));
    this.#model = compileModel(root.get("model"));
    this.#normalize = compileNormalizer(root.get("normalizer"));
    this.#cut = compilePreTokenizer(root.get("pre_tokenizer"));
    this.decoder = compileDecoder(root.get("decoder"));

    const added = readAdded(root.get("added_tokens"), settings, this.#model.vocab);
    this.#added = new Map(added.map((token) => [token.id, token]));
    this.#addedRaw = new AddedTokens(
      added.filter((token) => !token.normalized),
      (text) => text,
    );
    this.#addedNormalized = new AddedTokens(
      added.filter((token) => token.normalized),
      this.#normalize,
    );
    this.#addedIds = new Map(added.map(({ content, id }) => [content, id]));
    this.vocabSize = added.reduce((size, { id }) => Math.max(size, id + 1), this.#model.vocab.limit);

    this.specialTokens = settings.named;
    this.chatTemplates =
      options.chatTemplate === undefined
        ? settings.chatTemplates
        : new Map([...settings.chatTemplates, ["default", options.chatTemplate]]);
    this.#frame = this.#withBosAndEos(
      compilePostProcessor(root.get("post_processor"), (id) => this.token(id) !== undefined),
      settings,
    );
    if (this.#frame.prefix.length + this.#frame.suffix.length > MOST_AROUND) {
      root.get("post_processor").fail(`at most ${MOST_AROUND} tokens around a text`);
    }
  }

  /**
   * The ids of a text. Special tokens written in the text are recognized. A lone surrogate counts as U+FFFD.
   * @param options addSpecialTokens (default true): put before and behind what the tokenizer prescribes, such as BOS
   */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): number[] {
    if (typeof text !== "string") throw new OptionError(mismatch("text", "a string", text));
    const whole = text.toWellFormed();
    const frame = options.addSpecialTokens === false ? undefined : this.#frame;
    const ids: number[] = frame ? [...frame.prefix] : [];
    for (const section of this.#addedRaw.split(whole)) {
      if (section.id === undefined) {
        this.#encodeSection(whole.slice(section.start, section.end), section.start === 0, ids);
      } else {
        ids.push(section.id);
      }
    }
    return frame ? [...ids, ...frame.suffix] : ids;
  }

  /**
   * The text of some ids; [] gives "". Ids that no token has give nothing, as in Hugging Face: models often have more
   * rows than the tokenizer has tokens. Bytes that are not valid UTF-8 give U+FFFD.
   * @param options skipSpecialTokens (default true): leave out BOS, EOS and the like
   * @throws OptionError for an id that is not a non-negative integer
   */
  decode(ids: readonly number[], options: { skipSpecialTokens?: boolean } = {}): string {
    const stream = new TextStream(this, undefined, options);
    let text = "";
    for (const id of ids) text += stream.push(id);
    return text + stream.flush();
  }

  /** The number of tokens of `encode(text)`, special tokens included. */
  count(text: string): number {
    return this.encode(text).length;
  }

  /** The token of an id; undefined if there is none. */
  token(id: number): string | undefined {
    return this.#added.get(id)?.content ?? this.#model.vocab.token(id);
  }

  /** Whether an id is that of a special token, such as BOS, which decoded text omits. */
  isSpecial(id: number): boolean {
    return this.#added.get(id)?.special ?? false;
  }

  /** The id of a token, special ones included. */
  id(token: string): number | undefined {
    const id = this.#addedIds.get(token) ?? this.#model.vocab.find(token);
    return id < 0 ? undefined : id;
  }

  /**
   * The UTF-8 bytes of one token, not always whole characters; undefined where it gives no text.
   * @param options skipSpecialTokens: as in `decode`; first (default false): no token is before it in the text
   * @throws OptionError for an id that is not a non-negative integer
   */
  tokenBytes(id: number, options: { skipSpecialTokens?: boolean; first?: boolean } = {}): Uint8Array | undefined {
    if (!Number.isInteger(id) || id < 0) throw new OptionError(mismatch("token id", "a non-negative integer", id));
    const { first = false } = options;
    const added = this.#added.get(id);
    if (!added) {
      const token = this.#model.vocab.token(id);
      return token === undefined ? undefined : this.decoder.bytes(token, false, first);
    }
    if (added.special && options.skipSpecialTokens !== false) return undefined;
    // Matched in normalized text, so that is what it decodes to: "▁<tok>" and not "<tok>".
    return this.decoder.bytes(added.normalized ? this.#normalize(added.content) : added.content, true, first);
  }

  get bosToken(): string | undefined {
    return this.specialTokens.get("bos_token");
  }

  get eosToken(): string | undefined {
    return this.specialTokens.get("eos_token");
  }

  /** Also undefined if the configuration names a token that does not exist. */
  get bosTokenId(): number | undefined {
    return this.bosToken === undefined ? undefined : this.id(this.bosToken);
  }

  get eosTokenId(): number | undefined {
    return this.eosToken === undefined ? undefined : this.id(this.eosToken);
  }

  get chatTemplate(): string | undefined {
    return this.chatTemplates.get("default");
  }

  #encodeSection(text: string, first: boolean, ids: number[]): void {
    const normalized = this.#normalize(text);
    for (const { start, end, id } of this.#addedNormalized.split(normalized)) {
      if (id !== undefined) {
        ids.push(id);
        continue;
      }
      for (const piece of this.#cut(normalized.slice(start, end), first && start === 0)) this.#model.encode(piece, ids);
    }
  }

  /** add_bos_token and add_eos_token take precedence over the post-processor. */
  #withBosAndEos(frame: Frame, { addBosToken, addEosToken }: TokenizerConfig): Frame {
    let { prefix, suffix } = frame;
    const need = (key: string, id: number | undefined) => {
      if (id !== undefined) return id;
      throw new ModelError(
        mismatch(`${this.name}: tokenizer_config: ${key}`, "a token, because it is to be added", id),
      );
    };
    if (addBosToken === true && (prefix.length === 0 || prefix[0] !== this.bosTokenId)) {
      prefix = [need("bos_token", this.bosTokenId), ...prefix];
    }
    if (addBosToken === false && prefix.length > 0 && prefix[0] === this.bosTokenId) prefix = prefix.slice(1);
    if (addEosToken === true && (suffix.length === 0 || suffix.at(-1) !== this.eosTokenId)) {
      suffix = [...suffix, need("eos_token", this.eosTokenId)];
    }
    if (addEosToken === false && suffix.length > 0 && suffix.at(-1) === this.eosTokenId) suffix = suffix.slice(0, -1);
    return { prefix, suffix };
  }
}

/**
 * All added tokens: those of tokenizer.json, those of the configuration, and special ones that are plain entries of the
 * vocabulary. A token in the vocabulary keeps the vocabulary's id, as in Hugging Face.
 */
function readAdded(list: Field, config: TokenizerConfig, vocab: Vocabulary): AddedToken[] {
  const added = new Map<string, AddedToken>();
  const owner = new Map<number, string>();
  const known = (content: string) => {
    const id = vocab.find(content);
    return id < 0 ? undefined : id;
  };
  const add = (token: AddedToken, complain: (expected: string) => never) => {
    if (token.content === "") return;
    const own = known(token.content);
    const id = own ?? added.get(token.content)?.id ?? token.id;
    const other = owner.get(id) ?? (own === undefined ? vocab.token(id) : token.content);
    if (other !== undefined && other !== token.content)
      complain(`an id that no other token has (${show(JSON.stringify(other))})`);
    owner.set(id, token.content);
    added.set(token.content, { ...token, id });
  };
  for (const item of list.present ? list.array() : []) {
    const id = item.get("id");
    add(readAddedToken(item, id.integer(MAX_ID)), (expected) => id.fail(expected));
  }
  for (const token of config.added) add(token, (expected) => list.fail(`for ${token.id} ${expected}`));
  for (const content of [...config.named.values(), ...config.specials]) {
    const token = added.get(content);
    const id = token?.id ?? known(content);
    if (id === undefined || token?.special) continue;
    const plain = { id, content, special: true, lstrip: false, rstrip: false, singleWord: false, normalized: false };
    added.set(content, { ...plain, ...token, special: true });
  }
  return [...added.values()];
}
