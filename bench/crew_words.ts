/** Words that the threads of a crew share: the number of the turn, how many are done with it, a call for each thread. */
export const Word = { Turn: 0, Done: 1, Calls: 2 } as const;
/** Words of a call: instance (or REST), export (−1: nothing to do), arguments. */
export const CALL_WORDS = 10;
export const REST = -1;

/** A module's exports in an order that every thread finds. */
export function exportNames(exports: WebAssembly.Exports): string[] {
  return Object.keys(exports).sort();
}
