import type { Bank } from "../machine/bank.ts";
import { Xxh64 } from "../machine/hash.ts";
import type { Kernels } from "../machine/kernels.ts";
import type { Program } from "../models/program.ts";
import { isLogged } from "../plan/middle.ts";
import type { Plan } from "../plan/plan.ts";
import type { PolicyOptions } from "../plan/policy.ts";
import { type LogStore, memoryLog } from "../store/log_store.ts";
import { lastSegment } from "../store/snapshot_segments.ts";
import { Log, type LogParts } from "./log.ts";
import { LogFormat } from "./log_format.ts";
import { LogMemory } from "./log_memory.ts";

/** Where sessions' logs are kept, and how much of them in memory. */
export interface LogOptions extends Pick<PolicyOptions, "recallMemory"> {
  /** What recallStore names; memory by default. */
  readonly logStore?: LogStore | undefined;
}

/** recallMemory where nothing else is asked for. */
export const RECALL_MEMORY = 256 * 2 ** 20;

/** What an engine's sessions have for logs. */
export class Logs {
  readonly #parts: LogParts;

  private constructor(parts: LogParts) {
    this.#parts = parts;
  }

  /** Undefined under a policy without logs. */
  static of(
    { plan, program, kernels, modelHash }: LoggedEngine,
    banks: readonly Bank[],
    { logStore = memoryLog(), recallMemory = RECALL_MEMORY }: LogOptions,
  ): Logs | undefined {
    if (!isLogged(plan.policy)) return undefined;
    const format = new LogFormat(plan, program, banks, modelHash);
    const hash = (bytes: Uint8Array) => new Xxh64(kernels).update(bytes).hex();
    return new Logs({ plan, banks, format, hash, memory: LogMemory.of(logStore, recallMemory, hash) });
  }

  /** That of a session that has read nothing. */
  open(): Log {
    return new Log(this.#parts);
  }

  /** What only this snapshot needs may go, if it was taken by this process and its session has ended. */
  forget(snapshot: Uint8Array): void {
    const last = lastSegment(snapshot);
    if (last) this.#parts.memory.forget(last);
  }
}

interface LoggedEngine {
  readonly plan: Plan;
  readonly program: Program;
  readonly kernels: Kernels;
  readonly modelHash: bigint;
}
