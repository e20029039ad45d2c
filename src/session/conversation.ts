import { ModelError, mismatch, OptionError } from "../base/errors.ts";
import { decodeUtf8, parseObject } from "../formats/json.ts";
import { readParts, writeParts } from "../formats/parts.ts";
import type { Message } from "../tokenizer/chat.ts";
import type { Chat, ChatSettings, ChatStore, Reply, ReplyOptions, WindowUse } from "./chat.ts";
import { leading } from "./chat_keys.ts";
import { Answer, type ChatModel, stateOf } from "./reply.ts";

const NAME = "saved chat";
const VERSION = 1;

/** What is saved of a chat's settings: all that its text depends on. */
const SAVED = ["tools", "documents", "chatTemplate", "templateVariables", "now"] as const;

/** A chat of one model, as Model.chat describes it. */
export class Conversation implements Chat {
  readonly #model: ChatModel;
  readonly #defaults: ReplyOptions;
  #messages: readonly Message[];
  #window: WindowUse | undefined;
  /** Whether an answer is under way. */
  #busy = false;

  constructor(model: ChatModel, { system, messages = [], ...defaults }: ChatSettings) {
    if (!Array.isArray(messages)) throw new OptionError(mismatch("messages", "an array", messages));
    this.#model = model;
    // A date in the system's turn stays that of the chat's start.
    this.#defaults = { ...defaults, now: defaults.now ?? new Date() };
    this.#messages = messages;
    if (system !== undefined) this.setSystem(system);
  }

  /** Goes on with a saved chat. Throws ModelError for bytes that `save` did not write. */
  static restore(model: ChatModel, bytes: Uint8Array, options: ReplyOptions): Conversation {
    const { chat, key, state } = readSaved(bytes);
    const { now, messages, ...settings } = chat;
    const known = { ...model, store: new OneMore(model.store, key, state) };
    return new Conversation(known, { ...settings, now: new Date(now as string), messages, ...options } as ChatSettings);
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  get window(): WindowUse | undefined {
    return this.#window;
  }

  send(message: string | Message | readonly Message[], options: ReplyOptions = {}): Reply {
    const added = typeof message === "string" ? [{ role: "user", content: message }] : [message].flat();
    return this.#answer(() => [...this.#messages, ...(added as Message[])], options);
  }

  regenerate(options: ReplyOptions = {}): Reply {
    return this.#answer(() => {
      const last = this.#messages.findLastIndex(({ role }) => role !== "assistant");
      if (last < leading(this.#messages)) throw new OptionError("the chat has no message to answer");
      return this.#messages.slice(0, last + 1);
    }, options);
  }

  #answer(messages: () => readonly Message[], options: ReplyOptions): Reply {
    let before: readonly Message[] = [];
    let asked: readonly Message[] = [];
    const begin = () => {
      this.#requireIdle();
      before = this.#messages;
      asked = messages();
      this.#busy = true;
      return asked;
    };
    const end = (text: string | undefined, window: WindowUse | undefined) => {
      this.#busy = false;
      this.#messages = text === undefined ? before : [...asked, { role: "assistant", content: text }];
      this.#window = window ?? this.#window;
    };
    return new Answer(this.#model, { begin, end }, { ...this.#defaults, ...options });
  }

  edit(index: number, content: string): void {
    this.#requireIdle();
    const message = this.#messages[index];
    if (!Number.isInteger(index) || !message)
      throw new OptionError(mismatch("index", `a message of the ${this.#messages.length}`, index));
    this.#messages = [...this.#messages.slice(0, index), { ...message, content }];
  }

  undo(): Message | undefined {
    this.#requireIdle();
    const last = this.#messages.findLastIndex(({ role }) => role === "user");
    if (last < 0) return undefined;
    const undone = this.#messages[last];
    this.#messages = this.#messages.slice(0, last);
    return undone;
  }

  setSystem(system: string | undefined): void {
    this.#requireIdle();
    const turns = this.#messages.slice(leading(this.#messages));
    this.#messages = system ? [{ role: "system", content: system }, ...turns] : turns;
  }

  fork(): Conversation {
    const fork = new Conversation(this.#model, { ...this.#defaults, messages: this.#messages });
    fork.#window = this.#window;
    return fork;
  }

  async save(): Promise<Uint8Array<ArrayBuffer>> {
    this.#requireIdle();
    const messages = this.#messages;
    const options = Object.fromEntries(SAVED.map((name) => [name, this.#defaults[name]]));
    const found = messages.length > 0 ? await stateOf(this.#model, messages, this.#defaults) : undefined;
    const { key = "", state = new Uint8Array() } = found ?? {};
    const json = new TextEncoder().encode(JSON.stringify({ version: VERSION, messages, ...options, key }));
    return writeParts({ chat: json, state });
  }

  #requireIdle(): void {
    if (this.#busy) throw new OptionError("the chat is busy: it takes one call at a time");
  }
}

/** Reads what `save` wrote. */
function readSaved(bytes: Uint8Array) {
  if (!ArrayBuffer.isView(bytes)) throw new OptionError(mismatch(NAME, "a Uint8Array", bytes));
  const { chat: json, state } = readParts(bytes, NAME, ["chat", "state"]);
  const { version, key, ...chat } = parseObject(decodeUtf8(json, NAME), NAME);
  if (version !== VERSION) throw new ModelError(mismatch(`${NAME}: version`, `${VERSION}`, version));
  if (!Array.isArray(chat.messages)) throw new ModelError(mismatch(`${NAME}: messages`, "a list", chat.messages));
  return { chat, key: `${key}`, state };
}

/** A store and the state of a saved chat, which is nobody else's. */
class OneMore implements ChatStore {
  readonly #store: ChatStore;
  readonly #key: string;
  readonly #state: Uint8Array;

  constructor(store: ChatStore, key: string, state: Uint8Array) {
    this.#store = store;
    this.#key = key;
    this.#state = state;
  }

  async latest(keys: readonly string[]): Promise<readonly [index: number, state: Uint8Array] | undefined> {
    const found = await this.#store.latest(keys);
    const mine = keys.lastIndexOf(this.#key);
    return mine > (found?.[0] ?? -1) ? [mine, this.#state] : found;
  }

  put(key: string, state: Uint8Array): Promise<void> | void {
    return this.#store.put(key, state);
  }
}
