/** A worker of the pool: a thread that takes its share of every step that it is told of, and sleeps in between. */
import type { KernelExports } from "./kernel_exports.ts";
import { type Attachment, abort, Mail } from "./mailbox.ts";

/**
 * How long it looks for the next job before it sleeps, in ms: about as long as sampling and the event loop take between
 * two steps, because waking up costs both sides more (docs/LOG.md).
 */
const SPIN = 0.02;

/**
 * How long it sleeps at a time, in ms. Then it looks at its event loop: Deno wakes no thread that sleeps, and ends a worker, or
 * those that an ended worker had started, only there; until then they keep their memories.
 */
const NAP = 500;

const banks = new Map<number, { kernels: KernelExports; memory: WebAssembly.Memory }>();
let last = 0;
let later: ReturnType<typeof setTimeout> | undefined;

globalThis.onmessage = ({ data }: MessageEvent<Attachment>): void => {
  const { mailbox, module, bank, memory } = data;
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  banks.set(bank, { kernels: exports as unknown as KernelExports, memory });
  Atomics.add(mailbox, Mail.handled, 1);
  serve(mailbox);
};

/** Does jobs until there is a message, which only the event loop can bring, or for a nap's length nothing. */
function serve(mailbox: Int32Array): void {
  clearTimeout(later);
  for (;;) {
    const turn = Atomics.load(mailbox, Mail.turn);
    if (Atomics.load(mailbox, Mail.posted) !== Atomics.load(mailbox, Mail.handled)) return;
    const job = Atomics.load(mailbox, Mail.job);
    if (job !== last) {
      work(mailbox);
      Atomics.store(mailbox, Mail.done, (last = job));
    }
    const until = performance.now() + SPIN;
    while (Atomics.load(mailbox, Mail.turn) === turn && performance.now() < until);
    if (Atomics.wait(mailbox, Mail.turn, turn, NAP) === "timed-out") break;
  }
  later = setTimeout(serve, 0, mailbox);
}

function work(mailbox: Int32Array): void {
  const word = (field: Mail): number => (mailbox[field] as number) >>> 0;
  const { kernels, memory } = banks.get(word(Mail.bank)) as NonNullable<ReturnType<typeof banks.get>>;
  const control = word(Mail.control);
  try {
    kernels.run(word(Mail.program), word(Mail.step), control, word(Mail.thread), word(Mail.threads));
  } catch (error) {
    abort(memory, control);
    throw error;
  }
}
