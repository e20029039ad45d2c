import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { LambentError, mismatch } from "../base/errors.ts";
import { decodeUtf8 } from "../formats/json.ts";
import { LocalService } from "../service/local.ts";
import type { ChatSettings } from "../session/chat.ts";
import { loadCalibrated, withCheckpoint } from "../session/load.ts";
import { requireTokenizer } from "../session/load_tokenizer.ts";
import { Model } from "../session/model.ts";
import type { Message } from "../tokenizer/chat.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { COMMANDS, Talk } from "./chat_talk.ts";
import { type ChoosingFlags, choosingOf, choosingOptions } from "./choosing.ts";
import { DEFAULT_MODEL, loadOptions, type ModelFlags, modelOptions, usageError } from "./options.ts";
import { Stages } from "./progress.ts";
import { warn, warnUnused } from "./streams.ts";

interface ChatFlags extends ModelFlags, ChoosingFlags {
  readonly system?: string;
  readonly systemFile?: string;
  readonly template?: string;
}

/** Adds the command `chat`; `signal` aborts it. */
export function addChat(program: Command, signal: AbortSignal): void {
  const command = program
    .command("chat")
    .description("talk with a model; with piped input, one message per line")
    .option("--system <text>", "what the model is told first; it stays however long the chat gets")
    .option("--system-file <file>", "the same from a file")
    .option("--template <file>", "chat template (Jinja), instead of the model's");
  choosingOptions(modelOptions(command))
    .addHelpText("after", `\nIn the chat:\n${COMMANDS}\n\nDefaults: the model's generation_config.json.`)
    .action((flags: ChatFlags) => chat(flags, signal));
}

async function chat(flags: ChatFlags, signal: AbortSignal): Promise<void> {
  if (flags.system !== undefined && flags.systemFile !== undefined) {
    throw usageError(mismatch("system", "one, by --system or --system-file", "both"));
  }
  const system = flags.systemFile === undefined ? flags.system : (await readText(flags.systemFile)).trim();
  const chatTemplate = flags.template === undefined ? undefined : await readText(flags.template);
  const settings: ChatSettings = {
    ...choosingOf(flags),
    ...(chatTemplate !== undefined && { chatTemplate }),
    system,
    seed: flags.seed,
  };
  const where = flags.model ?? DEFAULT_MODEL;
  const stages = new Stages();
  const options = { ...loadOptions(flags, signal, stages), repeatLastN: flags.repeatLastN };
  const model = await withCheckpoint(where, options, async (checkpoint, runtime) => {
    const tokenizer = await requireTokenizer(checkpoint);
    // Before the weights are read, so that a model without a template is reported early.
    const nGlobal = flags.nGlobal ?? (await reserved(tokenizer, settings, flags));
    const engine = await loadCalibrated(checkpoint, runtime, { ...options, nGlobal });
    warnUnused(where, engine.unused);
    const { config, generationConfig } = checkpoint;
    const service = new LocalService(engine);
    return new Model(where, { runtime: runtime.name, service, tokenizer, config, generationConfig });
  });
  stages.end();
  for (const warning of model.warnings) warn(warning);
  try {
    await new Talk(model, settings, signal).run();
  } finally {
    // Its log too, but for what was saved.
    model.dispose();
  }
}

/** What the system's turn takes of nGlobal; undefined where the default has room for it. */
async function reserved(
  tokenizer: Tokenizer,
  settings: ChatSettings,
  { attention }: ChatFlags,
): Promise<number | undefined> {
  if (tokenizer.chatTemplate === undefined && settings.chatTemplate === undefined)
    throw new LambentError(`${tokenizer.name} has no chat template: name a file with one by --template`);
  const messages: Message[] = settings.system ? [{ role: "system", content: settings.system }] : [];
  // Templates need an interpreter, other commands do not.
  const { pinnedTokens } = await import("../session/chat_pieces.ts");
  const pinned = pinnedTokens(tokenizer, messages, settings);
  return pinned > (attention === "sinks" ? 4 : 10) ? pinned : undefined;
}

/** The text of a file. Throws LambentError if it cannot be read, or is no UTF-8. */
export async function readText(file: string): Promise<string> {
  try {
    return decodeUtf8(await readFile(file), file);
  } catch (error) {
    if (error instanceof LambentError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new LambentError(mismatch(file, "a readable file", code ?? message));
  }
}
