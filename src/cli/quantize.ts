import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { QUANTIZED, type QuantizedDType } from "../base/dtype.ts";
import { LambentError, mismatch, OptionError } from "../base/errors.ts";
import { type PackedFile, quantize } from "../plan/write_packed.ts";
import { chooseKernels } from "../session/engine_info.ts";
import { type LoadOptions, withCheckpoint } from "../session/load.ts";
import { unwritable, writeAll } from "./files.ts";
import { LOAD_FLAGS } from "./options.ts";
import { Stages } from "./progress.ts";
import { warn } from "./streams.ts";

interface QuantizeFlags {
  readonly dtype: QuantizedDType;
  readonly revision?: string;
  readonly offline?: boolean;
  readonly cacheDir?: string;
  readonly threads?: number;
}

/** Adds the command `quantize`; `signal` aborts it. */
export function addQuantize(program: Command, signal: AbortSignal): void {
  program
    .command("quantize")
    .description("write a model with its matrices quantised, as a directory that loads by reading alone")
    .argument("<in>", "directory, URL or Hugging Face id")
    .argument("<out>", "a new directory")
    .addOption(new Option("--dtype <format>", "format of the matrices").choices(QUANTIZED).default("q8"))
    .addOption(LOAD_FLAGS.threads)
    .addOption(LOAD_FLAGS.revision)
    .addOption(LOAD_FLAGS.offline)
    .addOption(LOAD_FLAGS.cacheDir)
    .action((from: string, to: string, flags: QuantizeFlags) => run(from, to, flags, signal));
}

async function run(from: string, to: string, { dtype, ...where }: QuantizeFlags, signal: AbortSignal): Promise<void> {
  await expectNew(to);
  const stages = new Stages();
  const options: LoadOptions = {
    ...where,
    signal,
    onProgress: ({ loaded, total }) => stages.update("downloading", loaded, total),
  };
  await withCheckpoint(from, options, async (checkpoint, runtime) => {
    if (checkpoint.tokenizer) {
      const found = `${checkpoint.name}, a GGUF file (--dtype quantises it while it is loaded)`;
      throw new OptionError(mismatch("in", "a directory with config.json and model.safetensors", found));
    }
    const { kernels, threads } = await chooseKernels(options, runtime);
    const files = await quantize(checkpoint, kernels, dtype, {
      ...{ threads, signal, availableMemory: runtime.availableMemory() },
      onProgress: (loaded, total) => stages.update("quantising", loaded, total),
    });
    await mkdir(to, { recursive: true }).catch((error) => {
      throw unwritable(to, error);
    });
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    let done = 0;
    const written: string[] = [];
    try {
      for (const file of files) {
        await writeFile(to, file, (bytes) => {
          signal.throwIfAborted();
          done += bytes;
          stages.update("writing", done, total);
        });
        written.push(file.name);
      }
    } catch (error) {
      for (const name of written) await rm(join(to, name), { force: true });
      throw error;
    }
    stages.end();
    warn(`${to}: ${dtype}, ${(total / 2 ** 20).toFixed(1)} MiB`, "");
  });
}

/** Throws OptionError unless `path` is an empty directory or does not exist. */
async function expectNew(path: string): Promise<void> {
  try {
    const [file] = await readdir(path);
    if (file !== undefined) throw new OptionError(mismatch(path, "a new directory", `one with ${file} in it`));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    if (error instanceof LambentError) throw error;
    throw new OptionError(mismatch(path, "a new directory", (error as NodeJS.ErrnoException).code ?? error));
  }
}

/** Writes one file under a temporary name first, so that a file with its final name is complete. */
async function writeFile(directory: string, file: PackedFile, onPart: (bytes: number) => void): Promise<void> {
  const partial = join(directory, `${file.name}.incomplete`);
  try {
    const handle = await open(partial, "w");
    try {
      for (const part of file.parts()) {
        await writeAll(handle, part);
        onPart(part.length);
      }
    } finally {
      await handle.close();
    }
    await rename(partial, join(directory, file.name));
  } catch (error) {
    await rm(partial, { force: true });
    throw unwritable(join(directory, file.name), error);
  }
}
