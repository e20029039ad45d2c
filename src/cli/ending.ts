/** Resolves when `signal` is aborted, or with SIGTERM, which tells services to end what they are doing and exit. */
export function untilEnd(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
    process.once("SIGTERM", () => resolve());
    if (signal.aborted) resolve();
  });
}
