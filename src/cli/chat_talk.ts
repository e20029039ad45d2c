import { readFile } from "node:fs/promises";
import { createInterface, type Interface } from "node:readline";
import { LambentError, mismatch } from "../base/errors.ts";
import { drawSeed } from "../base/random.ts";
import type { Chat, ChatSettings, Reply, ReplyResult } from "../session/chat.ts";
import type { Model } from "../session/model.ts";
import { writeWhole } from "./files.ts";
import { write } from "./streams.ts";

/** What can be typed instead of a message. */
export const COMMANDS = `  /system [text]  show or replace what the model is told first
  /undo           take the last message and its answer back
  /again          answer the last message anew
  /fork [n]       go on in a copy of this chat, or in chat n
  /save <file>    write the chat and its state to a file
  /load <file>    go on with a saved chat
  /tokens         what was read and what the window holds
  /help           these commands
  /exit           leave, as Ctrl-D does
  A line that ends with \\ goes on in the next one; """ starts and ends a text of several lines.
  Ctrl-C ends an answer.`;

const QUOTES = '"""';

/** A chat in a terminal, or over lines of standard input: answers on stdout, all else on stderr. */
export class Talk {
  readonly #model: Model;
  readonly #settings: ChatSettings;
  readonly #signal: AbortSignal;
  readonly #terminal = process.stdin.isTTY === true;
  /** The chats that were forked, by number − 1; undefined: the current one. */
  readonly #others: (Chat | undefined)[] = [undefined];
  #chat: Chat;
  #last: ReplyResult | undefined;
  /** Whether this chat was loaded and has not answered yet. */
  #loaded = false;
  /** Of the answer that is under way. */
  #ending: AbortController | undefined;
  #told = false;

  constructor(model: Model, settings: ChatSettings, signal: AbortSignal) {
    this.#model = model;
    this.#settings = settings;
    this.#signal = signal;
    this.#chat = model.chat(settings);
  }

  /** Talks until the input ends, `/exit`, or the signal is aborted. Without a terminal, the first error ends it. */
  async run(): Promise<void> {
    const lines = createInterface({
      input: process.stdin,
      ...(this.#terminal && { output: process.stdout.isTTY ? process.stdout : process.stderr }),
      terminal: this.#terminal,
      historySize: 1000,
    });
    const input = lines[Symbol.asyncIterator]();
    const leave = () => lines.close();
    this.#signal.addEventListener("abort", leave, { once: true });
    lines.on("SIGINT", () => this.#interrupt(lines));
    if (this.#terminal) this.#say("/help lists commands, Ctrl-D leaves");
    try {
      for (;;) {
        const message = await this.#message(lines, input);
        if (message === undefined || message === "/exit" || this.#signal.aborted) break;
        if (message.trim() !== "") await this.#take(message);
      }
    } finally {
      this.#signal.removeEventListener("abort", leave);
      lines.close();
    }
  }

  /** Ctrl-C: the end of an answer, or of the line that is being typed. */
  #interrupt(lines: Interface): void {
    if (this.#ending) {
      this.#ending.abort();
      return;
    }
    process.stderr.write("\n");
    if (lines.line === "") this.#say("Ctrl-D leaves");
    // Ctrl-U and Ctrl-K, which remove all of it.
    lines.write(null, { ctrl: true, name: "e" });
    lines.write(null, { ctrl: true, name: "u" });
    lines.prompt();
  }

  /** The next message: a line, or several. */
  async #message(lines: Interface, input: AsyncIterator<string>): Promise<string | undefined> {
    const next = async (prompt: string) => {
      if (this.#terminal) {
        lines.setPrompt(prompt);
        lines.prompt();
      }
      const { done, value } = await input.next();
      return done ? undefined : (value as string);
    };
    let text = await next("> ");
    if (text === undefined) return undefined;
    if (text.startsWith(QUOTES)) {
      text = text.slice(QUOTES.length);
      while (!text.endsWith(QUOTES)) {
        const more = await next(". ");
        if (more === undefined) return text;
        text += `\n${more}`;
      }
      return text.slice(0, -QUOTES.length);
    }
    while (text.endsWith("\\")) text = `${text.slice(0, -1)}\n${(await next(". ")) ?? ""}`;
    return text;
  }

  async #take(message: string): Promise<void> {
    try {
      const [, name, rest = ""] = message.match(/^\/(\w+)(?:\s+(.*))?$/s) ?? [];
      if (name === undefined) await this.#answer((options) => this.#chat.send(message, options));
      else await this.#command(name, rest.trim());
    } catch (error) {
      if (!this.#terminal || !(error instanceof LambentError)) throw error;
      this.#say(`error: ${error.message}`);
    }
  }

  async #command(name: string, rest: string): Promise<void> {
    const commands: Record<string, () => unknown> = {
      help: () => this.#say(COMMANDS),
      tokens: () => this.#say(this.#tokens()),
      system: () => this.#system(rest),
      undo: () => this.#say(this.#chat.undo() ? "the last message is taken back" : "there is no message yet"),
      again: () => {
        const again = { seed: drawSeed() };
        return this.#answer((options) => this.#chat.regenerate({ ...options, ...again }));
      },
      fork: () => this.#fork(rest),
      save: () => this.#save(fileOf("/save", rest)),
      load: () => this.#load(fileOf("/load", rest)),
    };
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (!command)
      throw new LambentError(mismatch("command", `/${Object.keys(commands).join(", /")} or /exit`, `/${name}`));
    await command();
  }

  #system(text: string): void {
    if (text !== "") this.#chat.setSystem(text);
    const [first] = this.#chat.messages;
    this.#say(first?.role === "system" ? `system: ${first.content}` : "there is no system turn");
  }

  #fork(number: string): void {
    const current = this.#others.indexOf(undefined);
    if (number === "") {
      this.#others[current] = this.#chat;
      this.#others.push(undefined);
      this.#chat = this.#chat.fork();
      this.#say(`this is chat ${this.#others.length}, a copy of chat ${current + 1}: /fork ${current + 1} goes back`);
      return;
    }
    const index = Number(number) - 1;
    if (!(Number.isInteger(index) && index >= 0 && index < this.#others.length))
      throw new LambentError(mismatch("/fork", `a chat from 1 to ${this.#others.length}`, number));
    const other = this.#others[index];
    if (other) {
      this.#others[current] = this.#chat;
      this.#others[index] = undefined;
      this.#chat = other;
    }
    this.#say(`this is chat ${index + 1}`);
  }

  async #save(file: string): Promise<void> {
    const bytes = await this.#chat.save();
    await writeWhole(file, bytes);
    this.#say(`${file}: ${this.#chat.messages.length} messages, ${(bytes.length / 2 ** 20).toFixed(1)} MiB`);
  }

  async #load(file: string): Promise<void> {
    const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
      throw new LambentError(mismatch(file, "a readable file", error.code ?? error.message));
    });
    const { system: _, messages: __, ...options } = this.#settings;
    this.#chat = this.#model.restoreChat(bytes, options);
    this.#loaded = true;
    this.#say(`${file}: ${this.#chat.messages.length} messages`);
  }

  #tokens(): string {
    const { window } = this.#chat;
    if (!window || !this.#last) return "nothing was read yet";
    const { promptTokens, cachedTokens, completionTokens } = this.#last.usage;
    const { position, pinned, unseen } = window;
    return [
      `chat    ${position} tokens; the window holds the last ${window.window}, the first ${pinned} stay`,
      `unseen  ${unseen} of ${this.#chat.messages.length} messages`,
      `answer  ${promptTokens - cachedTokens} tokens read, ${cachedTokens} known before, ${completionTokens} new`,
    ].join("\n");
  }

  async #answer(ask: (options: { signal: AbortSignal }) => Reply): Promise<void> {
    const ending = new AbortController();
    this.#ending = ending;
    try {
      const reply = ask({ signal: AbortSignal.any([this.#signal, ending.signal]) });
      for await (const piece of reply) await write(piece);
      await write("\n");
      this.#last = await reply.result;
    } finally {
      this.#ending = undefined;
    }
    for (const { text, weight } of this.#last.sources) {
      this.#say(`looked back at “${text.replaceAll(/\s+/g, " ")}” (${(100 * weight).toFixed(1)} %)`);
    }
    if (this.#loaded && this.#last.usage.cachedTokens === 0)
      this.#say("(the saved state could not be used here: the whole chat was read again)");
    this.#loaded = false;
    const { unseen, window } = this.#last.window;
    if (unseen === 0 || this.#told) return;
    this.#told = true;
    this.#say(`(from here on, the oldest messages are no longer seen: the window holds ${window} tokens; see /tokens)`);
  }

  /** Quiet where only answers are wanted. */
  #say(text: string): void {
    if (this.#terminal) process.stderr.write(`\x1b[2m${text}\x1b[22m\n`);
    else process.stderr.write(`${text}\n`);
  }
}

function fileOf(command: string, file: string): string {
  if (file !== "") return file;
  throw new LambentError(mismatch(command, "the name of a file", "none"));
}
