import { Control } from "./layout";

/** How long a thread blocks waiting for the others, in nanoseconds, before it aborts the step. */
const TIMEOUT: i64 = 10_000_000_000;

/**
 * Waits until all `threads` threads have arrived. False: the step was aborted, or a thread has not arrived in time
 * (which aborts it for all); every thread then returns immediately. Shared builds only.
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
      // A new generation as well, so that a thread about to block on the old one does not.
      atomic.add<u32>(control, 1, Control.generation);
      atomic.notify(control + Control.generation, -1);
      return false;
    }
    if (atomic.load<u32>(control, Control.abort)) return false;
  }
  return !atomic.load<u32>(control, Control.abort);
}

/** Spins up to this many turns until there is a new generation, or an abort. Shared builds only. */
export function spin(control: usize, generation: u32, turns: u32): void {
  if (!ASC_FEATURE_THREADS) return;
  for (let i: u32 = 0; i < turns; i++) {
    if (atomic.load<u32>(control, Control.generation) != generation || atomic.load<u32>(control, Control.abort)) return;
  }
}
