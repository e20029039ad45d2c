import { Control } from "./layout";

/** How long a thread sleeps for the others, in nanoseconds, before it gives the step up. */
const TIMEOUT: i64 = 10_000_000_000;

/**
 * Waits until all `threads` threads have come here. False: the step was aborted, or a thread has not come in time
 * (which aborts it for all); every thread then returns at once. Shared builds only.
 */
export function barrier(control: usize, threads: u32): bool {
  const generation = atomic.load<u32>(control, Control.generation);
  if (atomic.add<u32>(control, 1, Control.arrived) == threads - 1) {
    atomic.store<u32>(control, 0, Control.arrived);
    atomic.add<u32>(control, 1, Control.generation);
    atomic.notify(control + Control.generation, -1);
    return !atomic.load<u32>(control, Control.abort);
  }
  spin(control, generation, load<u32>(control, Control.spins));
  if (atomic.load<u32>(control, Control.abort)) return false;
  while (atomic.load<u32>(control, Control.generation) == generation) {
    const result = atomic.wait<u32>(control + Control.generation, generation, TIMEOUT);
    if (result == AtomicWaitResult.TIMED_OUT) {
      atomic.store<u32>(control, 1, Control.abort);
      // A new generation too: who is about to sleep on the old one must not.
      atomic.add<u32>(control, 1, Control.generation);
      atomic.notify(control + Control.generation, -1);
      return false;
    }
    if (atomic.load<u32>(control, Control.abort)) return false;
  }
  return !atomic.load<u32>(control, Control.abort);
}

/** Looks at most so many times whether there is another generation, or an abort. Shared builds only. */
export function spin(control: usize, generation: u32, turns: u32): void {
  if (!ASC_FEATURE_THREADS) return;
  for (let i: u32 = 0; i < turns; i++) {
    if (atomic.load<u32>(control, Control.generation) != generation || atomic.load<u32>(control, Control.abort)) return;
  }
}
