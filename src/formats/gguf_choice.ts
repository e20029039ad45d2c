import { ModelError, show } from "../base/errors.ts";

/** The name of a file of a split set: its own, its number and how many there are. */
const SPLIT = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s;
/** The most files of a split set. */
const MOST_SPLITS = 1000;
/** Parts of other models, which may lie beside one: projectors of images, and what quantising was guided by. */
const COMPANION = /mmproj|imatrix\.gguf$/i;

/** Which of several GGUF files is meant: the one of this name, or the one whose name has this tag, such as Q4_K_M. */
export interface GgufChoice {
  readonly file?: string | undefined;
  readonly quantization?: string | undefined;
}

/** The GGUF files among `names` (paths, with slashes) that may be meant. */
export function ggufCandidates(names: readonly string[], { file, quantization }: GgufChoice): string[] {
  if (file !== undefined) return names.includes(file) ? [file] : [];
  const models = ggufModels(names);
  if (quantization === undefined) return models;
  // The tag is a word of the name: Q4_K is not Q4_K_M.
  const word = new RegExp(`(?:^|[-._/])${quantization.replaceAll(".", "\\.")}(?=-\\d{5}-of-|\\.gguf$|[-.])`, "i");
  return models.filter((name) => word.test(name.slice(name.lastIndexOf("/") + 1)));
}

/** The one that is meant; throws ModelError, which lists those that there are. */
export function chooseGguf(names: readonly string[], choice: GgufChoice, subject: string): string {
  const [only, ...others] = ggufCandidates(names, choice);
  if (only !== undefined && others.length === 0) return only;
  const { file, quantization } = choice;
  const there = only === undefined ? ggufModels(names) : [only, ...others];
  const expected = file ?? `one GGUF file${quantization === undefined ? "" : ` of ${show(quantization)}`}`;
  const remedy = file === undefined && there.length > 0 ? ", or its name (option file)" : "";
  // All of them: mismatch would cut the list off.
  throw new ModelError(`${subject}: expected ${expected}${remedy}, found ${there.join(", ") || "none"}`);
}

/** The files of the set that `file` belongs to, in order; itself if it is no part of one. */
export function splitNames(file: string): string[] {
  const [, name, , last] = SPLIT.exec(file) ?? [];
  const count = Number(last);
  if (name === undefined || count < 1 || count > MOST_SPLITS) return [file];
  const number = (i: number) => `${i}`.padStart(5, "0");
  return Array.from({ length: count }, (_, i) => `${name}-${number(i + 1)}-of-${last}.gguf`);
}

/** The GGUF files among these that are models, of a split set the first one, even where it is missing, sorted. */
export function ggufModels(names: readonly string[]): string[] {
  const ggufs = names.filter((name) => /\.gguf$/i.test(name) && !COMPANION.test(name));
  return [...new Set(ggufs.map((name) => splitNames(name)[0] as string))].sort();
}
