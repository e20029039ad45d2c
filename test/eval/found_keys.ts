/** The keys that research/eval/keys.ts finds in an embedded model, whatever its kernels. */
import { join } from "node:path";
import { type FoundKeys, type Loading, measureKeys } from "../../research/eval/keys.ts";
import type { Kernels } from "../../src/machine/kernels.ts";
import { resolvePolicy } from "../../src/plan/policy.ts";
import { directory } from "../../src/sources/directory.ts";
import { randomIds } from "../engine/tiny.ts";
import { engineFrom, MODELS } from "../setup.ts";

export const EMBEDDED = ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"] as const;

/** What is found in an embedded model with these kernels. */
export async function foundKeys(model: string, kernels: Kernels): Promise<FoundKeys> {
  const load: Loading = (options) =>
    engineFrom(directory(join(MODELS, model)), kernels, { ...options, maxSessions: 1 });
  const policy = resolvePolicy({ nGlobal: 6, nLocal: 40, limit: 50 }, 40);
  return measureKeys(load, randomIds(100, 1), policy, policy);
}
