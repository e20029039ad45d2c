import { checkFormat, type ResponseFormat } from "../grammar/index.ts";
import type { ChatStore, ReplyOptions } from "../session/chat.ts";
import type { Model } from "../session/model.ts";
import type { ChatOptions, Message } from "../tokenizer/chat.ts";
import { ToolAnswer, toolTemplate } from "../tools/answer.ts";
import type { Piece } from "../tools/tools.ts";
import { Admission } from "./admission.ts";
import { type Answer, answer } from "./answer.ts";
import { asApiError, refused } from "./errors.ts";
import type { KeptAnswers } from "./kept_answers.ts";
import { labelsOf, type Metrics } from "./metrics.ts";
import { type Reload, Renewal } from "./renewal.ts";
import type { ReplyEnd, ReplyEvent, Task } from "./task.ts";

/** Limits of what a model does at once, and for how long. */
export interface CoreLimits {
  readonly maxSessions: number;
  readonly maxQueued: number;
  readonly maxSeconds: number;
  /** Instead of the model's own. */
  readonly chatTemplate?: string | undefined;
  /** Loads the model again when its engine has ended. */
  readonly reload?: Reload | undefined;
  /** Where states of chats are, instead of the model's store. */
  readonly states?: ChatStore | undefined;
  /** Where answers are kept while they are written. */
  readonly answers?: KeptAnswers | undefined;
}

/** Formats that are known to be good: compiling a large one takes tens of ms, on the thread that answers all. */
const MOST_CHECKED = 8;

/** A model as it is served: tasks in, events out, as many at once as it has sessions. */
export class Core {
  readonly name: string;
  readonly renewal: Renewal;
  readonly admission: Admission;
  readonly #metrics: Metrics;
  readonly #maxSeconds: number;
  readonly #rendering: { readonly chatTemplate?: string };
  readonly #states: ChatStore | undefined;
  readonly #answers: KeptAnswers | undefined;
  /** Formats that were checked, the latest ones: most clients ask for the same again. */
  readonly #checked = new Set<string>();

  constructor(name: string, model: Model, metrics: Metrics, limits: CoreLimits) {
    const { maxSessions, maxQueued, maxSeconds, chatTemplate, reload, states, answers } = limits;
    this.name = name;
    this.renewal = new Renewal(name, model, reload, () => metrics.reloads.add(1, labelsOf(name)));
    this.admission = new Admission({ seats: maxSessions, queue: maxQueued });
    this.#metrics = metrics;
    this.#maxSeconds = maxSeconds;
    this.#states = states;
    this.#answers = answers;
    this.#rendering = chatTemplate === undefined ? {} : { chatTemplate };
  }

  get model(): Model {
    return this.renewal.model;
  }

  /**
   * Answers a task. Aborted by `signal`, it gives its session back within a step, even if nobody reads on; after
   * maxSeconds it ends with the reason `length`.
   */
  async *reply(task: Task, signal: AbortSignal): AsyncGenerator<ReplyEvent, void, undefined> {
    const started = performance.now();
    const { tools } = task;
    const reader = this.#toolAnswer(task);
    const responseFormat = reader ? reader.responseFormat : task.options.responseFormat;
    const store = this.#storeOf(task);
    const options = { ...this.#rendering, ...task.options, ...(tools ? { tools } : {}), responseFormat, store };
    const ending = this.#limited(signal);
    if (responseFormat) this.#check(responseFormat);
    const leave = await this.admission.enter(ending);
    const { model } = this;
    const resume = await this.#answers?.of({ ...task, options });
    const source = answer(model, { ...task, options: { ...options, resume } }, ending);
    const tokens = source.tokens();
    const release = () => {
      leave();
      void tokens.return?.();
    };
    ending.addEventListener("abort", release, { once: true });
    try {
      const ids: number[] = [];
      let text = "";
      for await (const token of tokens) {
        if (ids.length === 0) this.#metrics.firstToken.add((performance.now() - started) / 1000, this.#labels(task));
        ids.push(token.id);
        text += token.text;
        if (reader) yield* reader.push(token).map(eventOf);
        const logprobs = token.likely ? [token.likely] : [];
        const said = reader ? "" : token.text;
        if (said !== "" || logprobs.length > 0) yield { type: "text", text: said, logprobs };
      }
      if (reader) yield* reader.end().map(eventOf);
      const end = await this.#end(source, task, ids, text);
      await resume?.end();
      yield reader && reader.calls > 0 && end.reason === "stop" ? { ...end, reason: "calls" } : end;
    } catch (error) {
      this.renewal.hear(error, model);
      throw asApiError(error, [model.tokenizer.name, this.name]);
    } finally {
      ending.removeEventListener("abort", release);
      release();
      this.#metrics.duration.add((performance.now() - started) / 1000, this.#labels(task));
    }
  }

  /** What cannot be enforced is refused before a request waits: the head of a stream may be sent meanwhile. */
  #check(format: ResponseFormat): void {
    const definition = JSON.stringify(format);
    if (this.#checked.has(definition)) return;
    try {
      checkFormat(format);
    } catch (error) {
      throw asApiError(error);
    }
    this.#checked.add(definition);
    if (this.#checked.size > MOST_CHECKED) this.#checked.delete(this.#checked.values().next().value as string);
  }

  /** A signal, and the end of the time that a request may take. */
  #limited(signal: AbortSignal): AbortSignal {
    if (this.#maxSeconds === Infinity) return signal;
    return AbortSignal.any([signal, AbortSignal.timeout(1000 * this.#maxSeconds)]);
  }

  /** Where an answer's states are looked for and kept. */
  #storeOf({ options }: Task): ReplyOptions["store"] {
    const states = this.#states;
    if (!states || options.store !== false) return states ?? options.store;
    return { latest: (keys) => states.latest(keys), put() {} };
  }

  /** Messages as the text that the model reads. */
  async render(messages: readonly Message[], options: ChatOptions = {}): Promise<string> {
    try {
      return await this.model.renderChat(messages, { ...this.#rendering, ...options });
    } catch (error) {
      throw asApiError(error, [this.model.tokenizer.name, this.name]);
    }
  }

  /** Tokens of messages. */
  async countTokens(messages: readonly Message[], options?: ChatOptions): Promise<number> {
    return this.model.tokenizer.encode(await this.render(messages, options), { addSpecialTokens: false }).length;
  }

  /** The template of chats with tools. */
  get template(): string {
    return toolTemplate(this.model.tokenizer, this.#rendering.chatTemplate);
  }

  /** How an answer with tools is read; undefined without. Throws ApiError if the model knows no tools. */
  #toolAnswer({ tools, forced, options: { responseFormat } }: Task): ToolAnswer | undefined {
    if (!tools) return undefined;
    const known = ToolAnswer.of(this.model.tokenizer, this.template, tools, { forced, responseFormat });
    if (known) return known;
    const expected = "none, as the chat template has no place for them that is known";
    throw refused("tools", expected, `${tools.length}`, "unsupported_value");
  }

  /** Bytes of WebAssembly memory; undefined if the engine has ended, which is thereby heard of. */
  async memory(): Promise<number | undefined> {
    const { model } = this;
    try {
      return await model.memory();
    } catch (error) {
      try {
        this.renewal.hear(error, model);
      } catch {}
      return undefined;
    }
  }

  /** The vectors f32[dimensions, by default hiddenSize] of texts, and how many tokens they are. */
  async embed(
    texts: readonly (string | readonly number[])[],
    dimensions: number | null | undefined,
    signal: AbortSignal,
  ) {
    const ending = this.#limited(signal);
    const inputs = texts.map((text) => (typeof text === "string" ? this.model.tokenizer.encode(text) : text));
    const tokens = inputs.reduce((sum, { length }) => sum + length, 0);
    const leave = await this.admission.enter(ending);
    const { model } = this;
    try {
      const vectors = await model.embed(inputs, { dimensions: dimensions ?? undefined, wait: true, signal: ending });
      this.#metrics.promptTokens.add(tokens, labelsOf(this.name));
      return { vectors, tokens };
    } catch (error) {
      this.renewal.hear(error, model);
      throw error;
    } finally {
      leave();
    }
  }

  async #end(source: Answer, task: Task, ids: readonly number[], text: string): Promise<ReplyEnd> {
    const { finishReason, usage, window, sources, prefillSeconds, decodeSeconds } = await source.result;
    const { completionTokens, promptTokens, cachedTokens } = usage;
    const labels = labelsOf(this.name);
    this.#metrics.promptTokens.add(promptTokens, labels);
    this.#metrics.cachedTokens.add(cachedTokens, labels);
    this.#metrics.outputTokens.add(completionTokens, labels);
    if (completionTokens > 1) this.#metrics.perToken.add(decodeSeconds / (completionTokens - 1), this.#labels(task));
    return {
      type: "end",
      reason: finishReason === "stop" ? "stop" : "length",
      stopString: finishReason === "stop" ? this.#stopString(task, ids, text) : undefined,
      usage,
      window,
      sources,
      prefillMs: 1000 * prefillSeconds,
      decodeMs: 1000 * decodeSeconds,
    };
  }

  /** The stop string behind a text, by the tokens that it was cut from. */
  #stopString({ options }: Task, ids: readonly number[], text: string): string | undefined {
    if (!options.stopStrings?.length) return undefined;
    const whole = this.model.tokenizer.decode(ids, { skipSpecialTokens: false });
    return options.stopStrings.find((stop) => whole.includes(text + stop) || whole.endsWith(stop));
  }

  #labels({ operation }: Task) {
    return labelsOf(this.name, operation);
  }
}

/** A piece of an answer with tools; logarithms are not given there. */
function eventOf(piece: Piece): ReplyEvent {
  return piece.type === "text" ? { ...piece, logprobs: [] } : piece;
}
