import type { Bank } from "../machine/bank.ts";
import type { Kernels } from "../machine/kernels.ts";
import type { Program } from "../models/program.ts";
import type { Plan } from "../plan/plan.ts";
import { isLogged, type PolicyOptions } from "../plan/policy.ts";
import { type LogStore, memoryLog } from "../store/log_store.ts";
import { Log } from "./log.ts";
import { LogFormat } from "./log_format.ts";
import { LogMemory } from "./log_memory.ts";

/** Where sessions' logs are kept, and how much of them in memory. */
export interface LogOptions extends Pick<PolicyOptions, "recallMemory"> {
  /** What recallStore names; memory by default. */
  readonly logStore?: LogStore | undefined;
}

const RECALL_MEMORY = 256 * 2 ** 20;

/** Makes the logs of an engine's sessions; undefined under a policy without. */
export function logsOf(
  { plan, program, kernels, modelHash }: LoggedEngine,
  banks: readonly Bank[],
  { logStore = memoryLog(), recallMemory = RECALL_MEMORY }: LogOptions,
): (() => Log) | undefined {
  if (!isLogged(plan.policy)) return undefined;
  const format = new LogFormat(plan, program, banks, modelHash);
  const parts = { plan, banks, kernels, format, memory: new LogMemory(logStore, recallMemory) };
  return () => new Log(parts);
}

interface LoggedEngine {
  readonly plan: Plan;
  readonly program: Program;
  readonly kernels: Kernels;
  readonly modelHash: bigint;
}
