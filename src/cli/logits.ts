import { open, rm } from "node:fs/promises";
import { type Command, InvalidArgumentError } from "commander";
import { mismatch, OptionError, show } from "../base/errors.ts";
import { safetensorsHeader } from "../formats/safetensors.ts";
import { loadCalibrated, withCheckpoint } from "../session/load.ts";
import { requireTokenizer } from "../session/load_tokenizer.ts";
import { unwritable, writeAll } from "./files.ts";
import { DEFAULT_MODEL, loadOptions, type ModelFlags, modelOptions, usageError } from "./options.ts";
import { Stages } from "./progress.ts";
import { warnUnused } from "./streams.ts";

interface LogitsFlags extends ModelFlags {
  readonly ids?: number[];
  readonly text?: string;
  readonly out: string;
}

/** Adds the command `logits`; `signal` aborts it. */
export function addLogits(program: Command, signal: AbortSignal): void {
  modelOptions(program.command("logits"))
    .description("write the logits of every position of a text: tensor logits, F32 [n, vocab]")
    .option("--ids <list>", "token ids, such as 1,2,3; needs no tokenizer", parseIds)
    .option("--text <text>", "text, with the special tokens that the tokenizer puts around it")
    .requiredOption("--out <file>", "safetensors file to write")
    .action((flags: LogitsFlags) => logits(flags, signal));
}

async function logits(flags: LogitsFlags, signal: AbortSignal): Promise<void> {
  if ((flags.ids === undefined) === (flags.text === undefined)) {
    throw usageError(mismatch("logits", "either --ids or --text", flags.ids === undefined ? "neither" : "both"));
  }
  const where = flags.model ?? DEFAULT_MODEL;
  const stages = new Stages();
  const options = loadOptions(flags, signal, stages);
  await withCheckpoint(where, options, async (checkpoint, runtime) => {
    const ids = flags.ids ?? (await requireTokenizer(checkpoint)).encode(flags.text as string);
    if (ids.length === 0) throw new OptionError(mismatch("logits", "at least one token", "none"));
    const engine = await loadCalibrated(checkpoint, runtime, {
      ...options,
      maxPositions: options.maxPositions ?? ids.length,
    });
    warnUnused(where, engine.unused);
    const shape = [ids.length, engine.program.vocabSize];
    const file = await open(flags.out, "w").catch((error) => {
      throw unwritable(flags.out, error);
    });
    try {
      await writeAll(file, safetensorsHeader([{ name: "logits", dtype: "F32", shape }]));
      const session = engine.open();
      await engine.forward(
        session,
        ids,
        async (row, position) => {
          await writeAll(file, new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
          stages.update("computing", position + 1, ids.length);
        },
        signal,
      );
    } catch (error) {
      if ((await file.stat()).isFile()) await rm(flags.out);
      throw unwritable(flags.out, error);
    } finally {
      await file.close();
      stages.end();
    }
  });
}

function parseIds(list: string): number[] {
  return list.split(",").map((item) => {
    const id = Number(item);
    if (item.trim() !== "" && Number.isSafeInteger(id) && id >= 0) return id;
    throw new InvalidArgumentError(`expected token ids with commas between them, found ${show(item)}`);
  });
}
