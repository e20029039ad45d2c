import type { Files } from "../base/source.ts";
import { type Checkpoint, NoWeights, openDirectory } from "./checkpoint.ts";
import { openGguf } from "./gguf_checkpoint.ts";
import { chooseGguf, ggufCandidates } from "./gguf_choice.ts";

/**
 * Opens a model, in whichever format its files are: the GGUF file that they name, or a directory in the layout of
 * Hugging Face transformers, or else the only GGUF file (or split set) in it.
 */
export async function openCheckpoint(files: Files): Promise<Checkpoint> {
  if (files.file !== undefined) return openGguf(files, files.file);
  try {
    return await openDirectory(files);
  } catch (error) {
    if (!(error instanceof NoWeights)) throw error;
    const names = (await files.list?.()) ?? [];
    if (ggufCandidates(names, {}).length === 0) throw error;
    return openGguf(files, chooseGguf(names, {}, files.name));
  }
}
