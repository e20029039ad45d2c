/** What stores in folders have in common: files are written below NEW first, as a process may be killed at any moment. */

/** Where files are written, below a store's folder. */
export const NEW = ".new";
/** What is deleted, and what processes have left that were killed, is removed after this time, in ms. */
export const GRACE_MS = 3_600_000;

/** Removes what was left below NEW. */
export async function sweepNew(folder: string): Promise<void> {
  // Edge runtimes that bundle this file may not have Node's modules.
  const { readdir, stat, unlink } = await import("node:fs/promises");
  for (const name of await readdir(`${folder}/${NEW}`)) {
    const path = `${folder}/${NEW}/${name}`;
    const facts = await present(stat(path));
    if (facts && facts.ctimeMs < Date.now() - GRACE_MS) await present(unlink(path));
  }
}

/** undefined: there is no such file (any more). */
export async function present<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
