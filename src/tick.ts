/** Lets the event loop turn once, so that signals, timers and other tasks are heard. */
export const tick: () => Promise<void> =
  typeof setImmediate === "function"
    ? () => new Promise((resolve) => setImmediate(resolve))
    : () => new Promise((resolve) => setTimeout(resolve, 0));

/** The work, or the abort if it comes first: the work may wait for somebody who says nothing. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  let forget = () => {};
  const aborted = new Promise<never>((_, reject) => {
    const abort = () => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    forget = () => signal?.removeEventListener("abort", abort);
  });
  return Promise.race([work, aborted]).finally(forget);
}
