import { Control } from "../../assembly/layout.ts";

/** What a worker of the pool and thread 0 tell each other, in 32-bit words that both see. */
export enum Mail {
  /** goes up with everything that is new; the worker sleeps on it */
  turn,
  /** messages posted to the worker's event loop */
  posted,
  /** of which it has handled */
  handled,
  /** number of the job that is to be done */
  job,
  /** number of the last job that it has come out of in good order */
  done,
  /** the job: number of the bank, arguments of `run` */
  bank,
  program,
  step,
  control,
  thread,
  threads,
  Words = 16,
}

/** A worker's only kind of message: its mailbox, and a bank that it is to know from now on. */
export interface Attachment {
  readonly mailbox: Int32Array;
  readonly module: WebAssembly.Module;
  readonly bank: number;
  readonly memory: WebAssembly.Memory;
}

/** Sends every thread of a job home from the barrier at which it waits or will arrive. */
export function abort(memory: WebAssembly.Memory, control: number): void {
  const words = wordsOf(memory, control);
  Atomics.store(words, Control.abort / 4, 1);
  // A new generation too: who is about to sleep on the old one must not.
  Atomics.add(words, Control.generation / 4, 1);
  Atomics.notify(words, Control.generation / 4);
}

/** Whether threads were sent home. */
export function aborted(memory: WebAssembly.Memory, control: number): boolean {
  return Atomics.load(wordsOf(memory, control), Control.abort / 4) !== 0;
}

/** Makes a control block ready for a job; no thread may be at it. */
export function reset(memory: WebAssembly.Memory, control: number): void {
  const words = wordsOf(memory, control);
  Atomics.store(words, Control.arrived / 4, 0);
  Atomics.store(words, Control.abort / 4, 0);
}

/** How many barriers threads have passed. */
export function generation(memory: WebAssembly.Memory, control: number): number {
  return Atomics.load(wordsOf(memory, control), Control.generation / 4) >>> 0;
}

/** Has threads look so often for the others before they sleep. */
export function setSpins(memory: WebAssembly.Memory, control: number, turns: number): void {
  Atomics.store(wordsOf(memory, control), Control.spins / 4, turns);
}

function wordsOf(memory: WebAssembly.Memory, control: number): Int32Array {
  return new Int32Array(memory.buffer, control, 4);
}
