import { type Command, Option } from "commander";
import type { createServer as CreateServer, Server, ServerOptions } from "../server/server.ts";
import { load } from "../session/model.ts";
import type { SessionStore } from "../store/store.ts";
import { readText } from "./chat.ts";
import { untilEnd } from "./ending.ts";
import { listen } from "./listen.ts";
import { openStore } from "./open_store.ts";
import { DEFAULT_MODEL, loadOptions, type ModelFlags, modelOptions, real, whole } from "./options.ts";
import { Stages } from "./progress.ts";
import { nameOf, pinnedTokens, serverModule, several } from "./serving.ts";
import { warn } from "./streams.ts";

interface ServeFlags extends ModelFlags {
  readonly host: string;
  readonly port: number;
  readonly alias?: string[];
  readonly parallel: number;
  readonly queue: number;
  readonly maxSeconds: number;
  readonly targetGap: number;
  readonly maxNewTokens: number;
  readonly maxBody: number;
  readonly drainSeconds: number;
  readonly apiKey?: string[];
  readonly corsOrigin?: string[];
  readonly template?: string;
  readonly store?: string;
  readonly stateSeconds: number;
  readonly log: "json" | "none";
}

/** Adds the command `serve`; `signal` ends it, after the answers that are being written. */
export function addServe(program: Command, signal: AbortSignal): void {
  const command = program
    .command("serve")
    .description("answer HTTP requests as OpenAI's API does")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <n>", "port to listen on, 0: any that is free", whole(0, 65_535), 8080);
  modelOptions(command)
    .option("--alias <name>", "name that the model answers to (default: that of its folder or id); repeatable", several)
    .option("--parallel <n>", "sessions at once; each takes its memory once", whole(1, 2 ** 16), 16)
    .option("--queue <n>", "requests that may wait for a session; others get 429", whole(0), 64)
    .option(
      "--target-gap <ms>",
      "about how long one that answers waits for its next token while others' prompts are read",
      real(1, 3.6e6),
      100,
    )
    .option("--max-seconds <n>", "longest time of an answer, in seconds", whole(1), 600)
    .option("-n, --max-new-tokens <n>", "most tokens of an answer, if the request does not say", whole(1), 4096)
    .option("--max-body <MiB>", "largest body", real(0.001, 4096), 16)
    .option("--drain-seconds <n>", "at the end, wait so long for answers that are being written", whole(0), 30)
    .option("--template <file>", "chat template (Jinja), instead of the model's")
    .option(
      "--store <place>",
      "keep sessions in a folder, or at redis://…, postgres://… or s3://… (default: in memory)",
    )
    .option("--state-seconds <n>", "keep states of chats in the store for so long", whole(1), 86_400)
    .option("--api-key <key>", "key that requests have to bring (or LAMBENT_API_KEY); repeatable", several)
    .option(
      "--cors-origin <origin>",
      'origin of pages that may ask, "*": all (default: this machine\'s); repeatable',
      several,
    )
    .addOption(new Option("--log <form>", "requests on stderr").choices(["json", "none"]).default("json"))
    .action((flags: ServeFlags) => serve(flags, signal));
}

async function serve(flags: ServeFlags, signal: AbortSignal): Promise<void> {
  const where = flags.model ?? DEFAULT_MODEL;
  const { createServer } = await serverModule("serve", ["hono", "@hono/node-server", "zod"]);
  const opened = flags.store === undefined ? undefined : await openStore(flags.store);
  try {
    await serveModel(where, createServer, opened?.store, flags, signal);
  } finally {
    await opened?.close();
  }
}

async function serveModel(
  where: string,
  createServer: typeof CreateServer,
  store: SessionStore | undefined,
  flags: ServeFlags,
  signal: AbortSignal,
): Promise<void> {
  const stages = new Stages();
  const chatTemplate = flags.template === undefined ? undefined : await readText(flags.template);
  const loading = { ...loadOptions(flags, signal, stages), maxSessions: flags.parallel, targetGap: flags.targetGap };
  // The engine is in a worker, so that requests are heard while steps run.
  const options = { ...loading, nGlobal: await pinnedTokens(where, loading), worker: true };
  let model = await load(where, options);
  stages.end();
  const ending = new AbortController();
  try {
    for (const warning of model.warnings) warn(warning);
    if (chatTemplate === undefined && model.tokenizer.chatTemplates.size === 0)
      warn(`${where} has no chat template: chats are refused (--template FILE names one)`);
    const names = flags.alias ?? [nameOf(where)];
    const fromEnvironment = process.env.LAMBENT_API_KEY;
    const server = createServer(Object.fromEntries(names.map((name) => [name, model])), {
      apiKeys: flags.apiKey ?? (fromEnvironment ? [fromEnvironment] : []),
      maxSessions: flags.parallel,
      maxQueued: flags.queue,
      maxSeconds: flags.maxSeconds,
      maxNewTokens: flags.maxNewTokens,
      chatTemplate,
      store,
      stateSeconds: flags.stateSeconds,
      maxBodyBytes: Math.floor(flags.maxBody * 2 ** 20),
      origins: flags.corsOrigin,
      log: flags.log === "json" ? logLine : undefined,
      async reload(_, { message }) {
        warn(`${message}; loading the model again`, "");
        model = await load(where, { ...options, signal: AbortSignal.any([signal, ending.signal]) });
        warn("the model is loaded again", "");
        return model;
      },
    });
    await serveUntil(server, flags, signal);
  } finally {
    ending.abort();
    model.dispose();
  }
}

/** Listens until the signal or SIGTERM, then turns new requests away and waits for those that are being answered. */
async function serveUntil(server: Server, flags: ServeFlags, signal: AbortSignal): Promise<void> {
  const listening = await listen(server.fetch, flags);
  warn(`listening on ${listening.url}`, "");
  await untilEnd(signal);
  warn("finishing what is being answered", "");
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), 1000 * flags.drainSeconds);
  });
  const finished = server.drain().then(async () => {
    await listening.finish();
    return true;
  });
  const done = await Promise.race([finished, late]).finally(() => clearTimeout(timer));
  if (!done) await listening.close();
}

function logLine(entry: Parameters<NonNullable<ServerOptions["log"]>>[0]): void {
  const line = { time: new Date().toISOString(), ...entry, ...("ms" in entry ? { ms: Math.round(entry.ms) } : {}) };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}
