/** Each kind of damage once, with the words in which it is refused. */
import { CONFIG, type Content, type Draft, type DraftTensor, draftOf } from "./draft.ts";

export interface Case {
  readonly title: string;
  readonly draft: () => Draft;
  /** The error, without the folder before it. */
  readonly message: RegExp;
  /** Also told through the command line: one of its kind is enough. */
  readonly cli: boolean;
}

export const LLAMA = "llama-gqa-tied";
/** A row of the tables below; one whose title begins with `!` is told through the command line too. */
export type Row = readonly [title: string, change: (draft: Draft) => void, message: RegExp];

export function cases(base: string, rows: readonly Row[]): Case[] {
  return rows.map(([title, change, message]) => ({
    title: title.replace(/^!/, ""),
    draft: () => {
      const draft = draftOf(base);
      change(draft);
      return draft;
    },
    message,
    cli: title.startsWith("!"),
  }));
}

export const config = (changes: object) => (draft: Draft) => void Object.assign(draft.json(CONFIG), changes);
export const file = (name: string, content: string | Content | undefined) => (draft: Draft) =>
  draft.edit((files) => {
    if (content === undefined) files.delete(name);
    else if (typeof content !== "string" || content === "directory") files.set(name, content);
    else files.set(name, new TextEncoder().encode(content));
  });
export const cut = (name: string, size: number) => (draft: Draft) =>
  draft.edit((files) => void files.set(name, (files.get(name) as Uint8Array).subarray(0, size)));
export const tensor = (name: string, change: (tensor: DraftTensor, all: DraftTensor[]) => void) => (draft: Draft) => {
  const all = draft.tensors();
  change(all.find((one) => one.name === name) as DraftTensor, all);
};
