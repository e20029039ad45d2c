import { cpus } from "node:os";
import type { Shape } from "./shapes.ts";

/** Every peer does the same work: a prompt of 128 tokens, then 32 new ones. */
export const PROMPT = 128;
export const NEW = 32;

export interface PeerOptions {
  /** Random weights of a published shape, or a model in llama.cpp's file format. */
  readonly shape?: Shape | undefined;
  readonly model?: { readonly path: string; readonly format: string } | undefined;
  /** Tokens of the prompt; 128 by default. */
  readonly prompt?: number | undefined;
  /** Fewer than the shape has; for trials. */
  readonly layers?: number | undefined;
  readonly threads: readonly number[];
}

export interface PeerResult {
  readonly peer: string;
  readonly version: string;
  /** Of the weights, as the peer calls it. */
  readonly format: string;
  readonly threads: number;
  /** At positions 128 to 160, the median; absent where there is an error. */
  readonly decodeTokensPerSecond?: number;
  /** Of the prompt, the median. */
  readonly prefillTokensPerSecond?: number;
  /** Until the model can be used, and what the process, or all of a browser's, then holds. */
  readonly loadMs?: number;
  readonly residentMB?: number;
  /** From there on until the first token of a short prompt, loading included. */
  readonly firstTokenMs?: number;
  /** How the figures came about, where that matters. */
  readonly note?: string;
  /** Cores that others kept busy just before: with any, threads wait for one another and the figures are too low. */
  readonly busyCores: number;
  readonly error?: string;
}

/** What a measurement's child process tells. */
export interface Measured {
  /** Tokens per second. */
  readonly prefill: number;
  readonly decode: number;
  readonly loadMs?: number;
  readonly residentMB?: number;
  readonly firstTokenMs?: number;
  readonly note?: string;
}

const QUIET_CORES = 0.2;
const PATIENCE_MS = 8_000;

/** A result, whatever becomes of the measurement. */
export async function attempt(
  about: Pick<PeerResult, "peer" | "version" | "format" | "threads">,
  measure: () => Promise<Measured>,
): Promise<PeerResult> {
  const begun = { ...about, busyCores: await quiet() };
  try {
    const { prefill, decode, ...rest } = await measure();
    return { ...begun, decodeTokensPerSecond: decode, prefillTokensPerSecond: prefill, ...rest };
  } catch (error) {
    return { ...begun, error: error instanceof Error ? error.message : String(error) };
  }
}

/** Waits a while for the machine to fall quiet. Returns how many cores others keep busy then. */
export async function quiet(): Promise<number> {
  for (const begun = performance.now(); ; ) {
    const busy = await busyCores();
    if (busy < QUIET_CORES || performance.now() - begun > PATIENCE_MS) return busy;
  }
}

/** How many cores other programs keep busy, measured for half a second. */
async function busyCores(): Promise<number> {
  const busy = () => cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  const begun = { busy: busy(), at: performance.now() };
  await Bun.sleep(500);
  return (busy() - begun.busy) / (performance.now() - begun.at);
}
