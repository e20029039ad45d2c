import { Command, CommanderError } from "commander";
import { LambentError, show } from "../base/errors.ts";
import { messageOf } from "../base/realm.ts";
import { VERSION } from "../base/version.ts";
import { detectHost } from "../runtime/detect.ts";
import { provideRuntime } from "../runtime/index.ts";
import { lostOutput, warn, watchOutputs } from "./streams.ts";

/** Adds commands to a program; they stop when `signal` is aborted. */
export type AddCommands = (program: Command, signal: AbortSignal) => void | Promise<void>;

/** The library's own commands, in the order of the help. Only the one that is given is imported. */
const COMMANDS = new Map<string, () => Promise<AddCommands>>([
  ["generate", async () => (await import("./generate.ts")).addGenerate],
  ["chat", async () => (await import("./chat.ts")).addChat],
  ["serve", async () => (await import("./serve.ts")).addServe],
  ["batch", async () => (await import("./batch.ts")).addBatch],
  ["batch-worker", async () => (await import("./batch_queue_worker.ts")).addBatchWorker],
  ["embed", async () => (await import("./embed.ts")).addEmbed],
  ["logits", async () => (await import("./logits.ts")).addLogits],
  ["inspect", async () => (await import("./inspect.ts")).addInspect],
  ["quantize", async () => (await import("./quantize.ts")).addQuantize],
]);

/**
 * Runs the given command and sets the exit code: 0 done, 1 an error, 2 wrong usage, 130 interrupted. `addMore` adds
 * commands beside the library's own; it is called only if none of these was given, so that they start sooner.
 */
export async function runCommandLine(addMore: AddCommands): Promise<void> {
  if (typeof Promise.withResolvers !== "function") {
    process.stderr.write(`error: expected Node 22 or later, Bun or Deno, found Node ${process.versions.node}\n`);
    process.exit(1);
  }
  provideRuntime(detectHost);
  const abort = new AbortController();
  process.once("SIGINT", () => {
    abort.abort();
    process.once("SIGINT", () => process.exit(130));
  });
  watchOutputs();
  process.once("exit", () => {
    const lost = lostOutput();
    if (lost && !process.exitCode) process.exitCode = report(lost, abort.signal);
  });
  const program = new Command("lambent")
    .description("Language models in portable WebAssembly that never run out of context")
    .version(VERSION)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  try {
    const given = COMMANDS.get(process.argv[2] ?? "");
    for (const command of given ? [given] : COMMANDS.values()) await (await command())(program, abort.signal);
    if (!given) await addMore(program, abort.signal);
    await program.parseAsync();
    process.exitCode = abort.signal.aborted ? 130 : 0;
  } catch (error) {
    process.exitCode = report(error, abort.signal);
  }
}

/** Prints one line on stderr; returns the exit code. */
function report(error: unknown, signal: AbortSignal): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code === "commander.help") return 2; // no command: the help is on stderr already
    warn(error.message.split("\n")[0] as string, "");
    return 2;
  }
  if (signal.aborted && error === signal.reason) return 130;
  const message = String(messageOf(error));
  warn(error instanceof LambentError ? message : show(message), "error: ");
  return 1;
}
