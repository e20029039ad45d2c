/** Resolves when `signal` is aborted, or with SIGTERM, which tells services to end what they are doing and exit. */
export function untilEnd(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      // A second one ends the process.
      process.off("SIGTERM", end);
      resolve();
    };
    signal.addEventListener("abort", end, { once: true });
    process.on("SIGTERM", end);
    if (signal.aborted) end();
  });
}
