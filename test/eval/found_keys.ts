/** The keys that research/eval/keys.ts finds in an embedded model, whatever its kernels. */
import { join } from "node:path";
import { type FoundKeys, type Loading, measureKeys } from "../../research/eval/keys.ts";
import { Engine } from "../../src/engine/engine.ts";
import { openDirectory } from "../../src/formats/checkpoint.ts";
import type { Kernels } from "../../src/machine/kernels.ts";
import { resolvePolicy } from "../../src/plan/policy.ts";
import { directory } from "../../src/sources/directory.ts";
import { randomIds } from "../engine/tiny.ts";
import { MODELS } from "../setup.ts";

export const EMBEDDED = ["lambent-llama-5m", "lambent-gptj-6m", "lambent-mpt-5m"] as const;

/** What is found in an embedded model with these kernels. */
export async function foundKeys(model: string, kernels: Kernels): Promise<FoundKeys> {
  const load: Loading = async (options) => {
    const checkpoint = await openDirectory(directory(join(MODELS, model)));
    try {
      return await Engine.load(checkpoint, kernels, { ...options, maxSessions: 1 });
    } finally {
      await checkpoint.close();
    }
  };
  const policy = resolvePolicy({ nGlobal: 6, nLocal: 40, limit: 50 }, 40);
  return measureKeys(load, randomIds(100, 1), policy, policy);
}
