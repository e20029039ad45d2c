import type { Files } from "lambent";

/** What the command posts, and what a place reports of it. Both are plain JSON. */

/** A job: which program, with which options. */
export interface Job {
  readonly program: "suite" | "travel" | "speed";
  readonly options: object;
}

/** Every report is a sign of life; the last one is `done` or `failed`. */
export type Report =
  | { readonly kind: "progress"; readonly value: unknown }
  | { readonly kind: "done"; readonly value: unknown }
  | { readonly kind: "failed"; readonly value: string };

/** What a program is given beside its options. */
export interface Host {
  /** The model that comes with the package, where it does. */
  readonly embedded: Files | undefined;
  /** Of the server, with a slash at the end. */
  readonly base: string;
  report(value: unknown): Promise<void>;
}

export type Program = (options: never, host: Host) => Promise<unknown>;
