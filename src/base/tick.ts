/** Lets the event loop turn once, so that signals, timers and other tasks are processed. */
export const tick: () => Promise<void> =
  typeof setImmediate === "function"
    ? () => new Promise((resolve) => setImmediate(resolve))
    : typeof MessageChannel === "function" && ("document" in globalThis || "importScripts" in globalThis)
      ? byMessage()
      : () => new Promise((resolve) => setTimeout(resolve, 0));

/**
 * Browsers delay timers by 4 ms, or a second in the background, but not messages; workerd processes nothing between
 * messages.
 */
function byMessage(): () => Promise<void> {
  const { port1, port2 } = new MessageChannel();
  const waiting: (() => void)[] = [];
  port1.onmessage = () => waiting.shift()?.();
  return () => {
    return new Promise((resolve) => {
      waiting.push(resolve);
      port2.postMessage(undefined);
    });
  };
}

/** The result of the work, or the abort if that comes first: the work may wait for something that never answers. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  let forget = () => {};
  const aborted = new Promise<never>((_, reject) => {
    const abort = () => reject(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    forget = () => signal?.removeEventListener("abort", abort);
  });
  return Promise.race([work, aborted]).finally(forget);
}
