import type { Files } from "../base/source.ts";
import { type Checkpoint, NoWeights, openDirectory } from "./checkpoint.ts";

/**
 * Opens a model, in whichever format its files are: the GGUF file that they name, or a directory in the layout of
 * Hugging Face transformers, or else the only GGUF file (or split set) in it.
 */
export async function openCheckpoint(files: Files): Promise<Checkpoint> {
  // Modules for GGUF files are imported only then.
  const gguf = () => import("./gguf_checkpoint.ts");
  if (files.file !== undefined) return (await gguf()).openGguf(files, files.file);
  try {
    return await openDirectory(files);
  } catch (error) {
    if (!(error instanceof NoWeights)) throw error;
    const names = (await files.list?.()) ?? [];
    const { chooseGguf, ggufCandidates } = await import("./gguf_choice.ts");
    if (ggufCandidates(names, {}).length === 0) throw error;
    return (await gguf()).openGguf(files, chooseGguf(names, {}, files.name));
  }
}
